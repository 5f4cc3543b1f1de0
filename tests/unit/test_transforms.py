"""Canvas tensors: what is gray, what is colour, where the mask lies, and what they depend on."""

import pickle
from dataclasses import replace

import pytest
import torch
from PIL import Image
from tiny.comics import SIZE, draw_page

from colorflow.canvas import query_box, query_mask
from colorflow.data.transforms import CanvasTransform, collate
from colorflow.schema import ColorizationSample, RetrievedPatch
from colorflow.styles.gray import GrayStyle
from colorflow.utils.images import to_tensor

TRANSFORM = CanvasTransform(SIZE, SIZE, GrayStyle())
FULL = CanvasTransform(SIZE, (64, 96), GrayStyle(), window=(2.0, 2.0))


def sample(size=SIZE):
    patches = tuple(
        (RetrievedPatch("c/2", 0, quadrant, rank, 0.5), draw_page(10 * quadrant + rank))
        for quadrant in range(4)
        for rank in range(3)
    )
    return ColorizationSample("c/1", draw_page(99, size), patches)


def is_gray(tensor):
    return (tensor - tensor[:1]).abs().amax(0) < 1e-6


def test_a_batch_of_one_has_the_documented_shapes_and_ranges():
    batch = TRANSFORM(sample(), seed=0, position=5)
    assert batch.target.shape == batch.condition.shape == (1, 3, 48, 32)
    assert batch.mask.shape == (1, 1, 48, 32)
    assert batch.page_ids == ("c/1",)
    for tensor, low in ((batch.target, -1), (batch.condition, -1), (batch.mask, 0)):
        assert tensor.dtype == torch.float32
        assert low <= tensor.min() < tensor.max() <= 1
    batch = FULL(replace(sample((210, 133)), patches=()), 0, 0)
    assert (batch.target[0, :, :20] == 1).all()
    assert batch.target.shape == (1, 3, 96, 64)


def test_the_whole_canvas_differs_from_its_condition_on_the_query_alone():
    batch = FULL(sample(), 0, 0)
    target, condition, mask = batch.target[0], batch.condition[0], batch.mask[0, 0]
    left, top, right, bottom = query_box(SIZE)
    query = torch.zeros(96, 64, dtype=torch.bool)
    query[top:bottom, left:right] = True
    assert torch.equal(mask, query_mask(SIZE)[0])
    assert torch.equal(target[:, ~query], condition[:, ~query])
    assert is_gray(condition)[query].all()
    assert not is_gray(target)[query].all()
    assert not is_gray(condition)[~query].all()
    assert torch.equal(target[:, top:bottom, left:right], to_tensor(draw_page(99)))


@pytest.mark.parametrize("position", range(8))
def test_in_a_random_window_mask_and_condition_are_aligned(position):
    """Away from the edge (the resize filter's reach, 2 x 2 pixels) mask, gray and equality agree exactly."""
    batch = TRANSFORM(sample(), 0, position)
    target, condition, mask = batch.target[0], batch.condition[0], batch.mask

    def inside(region):
        return torch.nn.functional.max_pool2d(1 - region.float(), 9, 1, 4)[0, 0] == 0

    query, references = inside(mask < 0.02), inside(mask > 0.98)
    assert query.sum() > 100
    assert references.sum() > 20
    assert is_gray(condition)[query].all()
    assert not is_gray(target)[query].all()
    assert torch.equal(target[:, references], condition[:, references])
    differs = (target - condition).abs().amax(0) > 0.02
    assert (mask[0, 0][differs] < 1).float().mean() > 0.9


def test_the_window_always_holds_the_whole_query():
    areas = [(1 - TRANSFORM(sample(), 0, position).mask).mean().item() for position in range(30)]
    # The query is 1/4 of the whole canvas and 1/1.25^2 of the smallest window.
    assert 0.24 < min(areas) < 0.32
    assert 0.55 < max(areas) < 0.66


def test_everything_is_a_function_of_seed_and_position():
    first, again = TRANSFORM(sample(), 3, 7), TRANSFORM(sample(), 3, 7)
    assert torch.equal(first.target, again.target)
    assert torch.equal(first.mask, again.mask)
    assert first.seeds == again.seeds
    for other in (TRANSFORM(sample(), 3, 8), TRANSFORM(sample(), 4, 7)):
        assert not torch.equal(first.mask, other.mask)
        assert first.seeds != other.seeds


def test_validation_sees_the_whole_canvas_at_any_position_without_views():
    whole = TRANSFORM.for_validation()
    batches = [whole(sample(), 0, position) for position in range(3)]
    assert all(torch.equal(batch.target, batches[0].target) for batch in batches)
    assert (1 - batches[0].mask).mean().item() == pytest.approx(0.25, abs=0.01)
    assert replace(TRANSFORM, views=3).for_validation() == TRANSFORM.for_validation()
    with pytest.raises(ValueError, match="expected views of at least 1, or None, got 0"):
        replace(TRANSFORM, views=0)


def test_collate_keeps_order_and_the_transform_pickles():
    transform = pickle.loads(pickle.dumps(TRANSFORM))
    batches = [transform(sample(), 0, position) for position in range(3)]
    joined = collate(batches)
    assert joined.seeds == tuple(batch.seeds[0] for batch in batches)
    assert torch.equal(joined.condition[1:2], batches[1].condition)
    assert len(joined) == 3
    assert CanvasTransform([32, 48], [16, 24], GrayStyle(), [1.5, 2]).page_size == (32, 48)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"page_size": (33, 48)}, "even page width"),
        ({"train_size": (32, 32)}, "aspect"),
        ({"window": (0.5, 2.0)}, "min_scale"),
    ],
)
def test_impossible_geometry_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        CanvasTransform(**({"page_size": SIZE, "train_size": SIZE, "style": GrayStyle()} | arguments))


def test_a_style_that_resizes_is_refused():
    class Half:
        name = "half"

        def __call__(self, page, generator):
            return page.resize((page.width // 2, page.height // 2), Image.Resampling.BOX)

    with pytest.raises(ValueError, match="'half'"):
        CanvasTransform(SIZE, SIZE, Half())(sample(), 0, 0)


def test_a_page_has_as_many_views_as_asked_for_whatever_seed_and_position():
    transform = replace(TRANSFORM, views=3)
    seen = [transform(sample(), seed, position) for seed in (0, 1) for position in range(20)]
    assert len({batch.seeds for batch in seen}) == 40, "noise is new at every step"
    views = [transform.view(sample(), number, noise_seed=0) for number in range(3)]
    shown = [next(n for n, view in enumerate(views) if torch.equal(view.target, batch.target)) for batch in seen]
    assert set(shown) == {0, 1, 2}
    assert shown == [transform.view_at(seed, position) for seed in (0, 1) for position in range(20)]
    other = transform.view(replace(sample(), page_id="c/9"), 0, noise_seed=0)
    assert not torch.equal(other.mask, views[0].mask), "pages have windows of their own"


def test_where_nothing_is_drawn_a_single_view_is_what_every_step_sees():
    for position in range(3):
        fresh, fixed = FULL(sample(), 0, position), replace(FULL, views=1)(sample(), 0, position)
        assert all(torch.equal(getattr(fresh, name), getattr(fixed, name)) for name in ("target", "condition", "mask"))
        assert fresh.seeds == fixed.seeds
