"""Attention supervision: what counts as right, and that a network's own queries and keys are seen."""

from __future__ import annotations

import pytest
import torch
from tiny.toon import small_base

from colorflow.models.lora import add_lora
from colorflow.tasks.supervision import AttentionSupervision, attention_loss, on_grid

LAYER = "up_blocks.0.attentions.0.transformer_blocks.0.attn1"


def test_loss_is_the_log_of_the_mass_on_references_of_the_same_label():
    """By hand: token 0 is the query's and of label 7, as tokens 2 and 3 of the references are; 4 is ink everywhere."""
    queries, keys = torch.randn(1, 5, 4), torch.randn(1, 5, 4)
    labels = torch.tensor([[7, 7, 7, 7, 1]], dtype=torch.uint8)
    is_query = torch.tensor([[True, False, False, False, True]])
    labels[0, 1] = 9
    weights = (queries[0] @ keys[0].T / 2).softmax(-1)
    expected = -(weights[0, 2] + weights[0, 3]).log()
    torch.testing.assert_close(attention_loss(queries, keys, labels, is_query), expected)


def test_tokens_without_a_match_do_not_count():
    queries = torch.randn(2, 3, 4, requires_grad=True)
    labels = torch.tensor([[7, 8, 255], [7, 7, 255]], dtype=torch.uint8)
    is_query = torch.tensor([[True, False, False]] * 2)
    both = attention_loss(queries, queries, labels, is_query)
    second = attention_loss(queries[1:], queries[1:], labels[1:], is_query[1:])
    torch.testing.assert_close(both, second)
    chosen = attention_loss(queries, queries, labels, is_query, torch.tensor([True, False]))
    assert chosen == 0
    chosen.backward()


def test_labels_and_query_on_a_coarser_grid():
    labels = torch.arange(16, dtype=torch.uint8).reshape(1, 4, 4)
    mask = torch.ones(1, 1, 4, 4)
    mask[..., :2, :2] = 0
    mask[..., 2, 2] = 0
    tokens, is_query = on_grid(labels, mask, (2, 2))
    assert tokens.tolist() == [[5, 7, 13, 15]]
    assert is_query.tolist() == [[True, False, False, False]]


def test_a_network_is_watched_where_it_learns_also_under_lora():
    unet = small_base().network
    add_lora(unet, 4, 4)
    supervision = AttentionSupervision([LAYER], [(0, 1.0), (10, 0.2)])
    supervision.watch(unet)
    labels, mask = torch.full((2, 8, 8), 7, dtype=torch.uint8), torch.ones(2, 1, 8, 8)
    mask[..., :4] = 0
    unet(torch.randn(2, 6, 8, 8), 3, torch.randn(2, 2, 4))
    loss, mass = supervision.loss(labels, mask)
    assert 0 < mass < 1
    torch.testing.assert_close(mass, (-loss).exp())
    loss.backward()
    gradients = [p.grad for name, p in unet.named_parameters() if name.startswith(LAYER) and p.grad is not None]
    assert any(gradient.abs().sum() > 0 for gradient in gradients)
    assert [supervision.weight(step) for step in (0, 9, 10, 99)] == [1.0, 1.0, 0.2, 0.2]
    with torch.no_grad():
        unet(torch.randn(2, 6, 8, 8), 3, torch.randn(2, 2, 4))
    with pytest.raises(RuntimeError, match="nothing was kept; do not compile supervised blocks"):
        supervision.loss(labels, mask)


def test_large_layers_are_left_out():
    unet = small_base().network
    supervision = AttentionSupervision([LAYER], [(0, 1.0)], max_tokens=15)
    supervision.watch(unet)
    unet(torch.randn(2, 6, 8, 8), 3, torch.randn(2, 2, 4))
    loss, mass = supervision.loss(torch.zeros(2, 8, 8, dtype=torch.uint8), torch.ones(2, 1, 8, 8))
    assert loss == 0
    assert mass == 0


def test_a_layer_that_is_not_there_is_named():
    unet = small_base().network
    with pytest.raises(ValueError, match=f"expected layers among .*{LAYER}.*got 'nowhere'"):
        AttentionSupervision(["nowhere"], [(0, 1.0)]).watch(unet)
    with pytest.raises(ValueError, match="a weight from step 0 on"):
        AttentionSupervision([LAYER], [(5, 1.0)])
