"""Tasks of the toon family that follows characters: a step of each learns, and what it writes can be read."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import pytest
import torch
from tiny.toon import small_base

from colorflow.diffusion.objective import DiffusionObjective
from colorflow.models.icp_model import ICPModel, LoraSettings
from colorflow.pipelines.export import load_export, save_export
from colorflow.pipelines.icp import ICPPipeline, Sampling
from colorflow.retrieval.settings import RetrievalSettings
from colorflow.schema import ColorizationBatch, PageBatch
from colorflow.tasks.base_task import BaseTask
from colorflow.tasks.codec_task import CodecTask
from colorflow.tasks.icp_task import ICPTask
from colorflow.tasks.muon import MuonAdamW
from colorflow.tasks.supervision import AttentionSupervision

LAYERS = [f"up_blocks.{level}.attentions.0.transformer_blocks.0.attn1" for level in (0, 1)]
LORA = LoraSettings(4, 4, ["to_q", "to_k", "to_v", "to_out.0"])


def canvases(labels=True):
    """Two canvases of 32 x 48 with a query in the middle; half of each is one label."""
    source = torch.Generator().manual_seed(0)
    target = torch.rand(2, 3, 48, 32, generator=source) * 2 - 1
    mask = torch.ones(2, 1, 48, 32)
    mask[..., 12:36, 8:24] = 0
    condition = torch.where(mask > 0.5, target, target.mean(1, keepdim=True))
    names = torch.full((2, 12, 8), 11, dtype=torch.uint8)
    names[..., 4:] = 12
    return ColorizationBatch(
        target, condition, mask, labels=names if labels else None, page_ids=("a/0", "b/0"), seeds=(1, 2)
    )


def task(kind, weight=1.0):
    """With a network that answers something: at the start its last convolution is zero, and so are all gradients."""
    base = small_base()
    torch.manual_seed(0)
    torch.nn.init.normal_(base.network.conv_out.weight, std=0.1)
    supervision = AttentionSupervision(LAYERS, [(0, weight)])
    if kind == "base":
        base.network.requires_grad_(True)
        return BaseTask(base, DiffusionObjective(0.5), MuonAdamW, hinted=1.0, full_hints=True, supervision=supervision)
    model = ICPModel.from_base(base, LORA, 7, tone_octaves=3)
    for tap in model.guider.brushnet_up_blocks:
        torch.nn.init.normal_(tap.weight, std=0.1)
    return ICPTask(model, DiffusionObjective(1.5, query_weight=2.0), MuonAdamW, supervision=supervision)


@pytest.mark.parametrize("kind", ["base", "icp"])
def test_supervision_is_added_by_its_weight(kind):
    plain = task(kind).training_step(canvases(labels=False), 0)
    losses = [task(kind, weight).training_step(canvases(), 0) for weight in (0.0, 0.5, 1.0)]
    torch.testing.assert_close(losses[0], plain)
    torch.testing.assert_close(losses[2] - losses[1], losses[1] - losses[0], atol=1e-4, rtol=1e-4)
    assert losses[1] > losses[0]


@pytest.mark.parametrize("kind", ["base", "icp"])
def test_steps_learn(kind):
    trained = task(kind)
    optimizer = trained.configure_optimizers()
    losses = []
    for _ in range(8):
        loss = trained.training_step(canvases(), 0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


def test_whole_hints_count_everywhere():
    """The loss of a hinted canvas is the mean over all latents, the references among them."""
    trained = task("base", weight=0.0)
    batch = canvases()
    seen = {}
    original = trained.losses

    def losses(drawn, timesteps):
        seen["drawn"] = drawn
        return original(drawn, timesteps)

    trained.losses = losses
    trained.training_step(batch, 0)
    drawn = seen["drawn"]
    assert (drawn.weight == 1).all()
    hint = trained.model.encode(batch.condition, torch.zeros(2, 6, 12, 8))
    torch.testing.assert_close(drawn.hint, hint)


def test_an_export_colors_as_the_model_it_was_made_of(tmp_path):
    """Codec, tone code and all come back; one step answers in one run of the networks."""
    trained = task("icp")
    save_export(trained.model, tmp_path / "export", (16, 24), RetrievalSettings("hog"))
    loaded = load_export(tmp_path / "export").model
    assert loaded.tone_octaves == 3
    batch, results = canvases(), []
    for model in (trained.model.eval(), loaded):
        pipeline = ICPPipeline(model)
        pipeline.set_progress_bar_config(disable=True)
        seeds = [torch.Generator().manual_seed(seed) for seed in batch.seeds]
        results.append(pipeline(batch.condition, batch.mask, Sampling(num_inference_steps=1), generator=seeds))
    torch.testing.assert_close(results[0], results[1], atol=1e-5, rtol=0)
    without_tone = copy.deepcopy(trained.model)
    with torch.no_grad():
        without_tone.guider.conv_in_condition.weight[:, -6:] = 0
    pipeline = ICPPipeline(without_tone)
    pipeline.set_progress_bar_config(disable=True)
    seeds = [torch.Generator().manual_seed(seed) for seed in batch.seeds]
    changed = pipeline(batch.condition, batch.mask, Sampling(num_inference_steps=1), generator=seeds)
    assert (changed - results[0]).abs().max() > 1e-4, "the tone code changes nothing"


def test_the_codec_is_fitted_once_and_its_decoder_learns(tmp_path):
    source = torch.Generator().manual_seed(0)
    pages = torch.rand(4, 3, 6, 4, generator=source).mul(2).sub(1).repeat_interleave(8, 2).repeat_interleave(8, 3)
    batch = PageBatch(pages, pages, page_ids=("a/0",) * 4, seeds=(1, 2, 3, 4))
    trained = CodecTask(small_base(), MuonAdamW, fitted_batches=1, heights=(24, 48), patch=16)
    loader = SimpleNamespace(datamodule=SimpleNamespace(train_dataloader=lambda: [batch]))
    trained._trainer = loader
    trained.on_train_start()
    fitted = trained.codec.encoder.weight.clone()
    loader.datamodule.train_dataloader = lambda: pytest.fail("fitted twice")
    trained.on_train_start()
    trained._trainer = None
    kept = trained.kept()
    assert {"is_fitted", "codec.encoder.weight", "codec.mean", "codec.conv_in.weight"} <= kept.keys()
    optimizer, losses = trained.configure_optimizers(), []
    for _ in range(8):
        loss = trained.training_step(batch, 0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert torch.equal(trained.codec.encoder.weight, fitted)
