"""The canvas chosen for a page: of its aspect, of the model's cost, of sides that everything divides."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from colorflow.canvas import Size, canvas_size, fit_box, matching_size, query_box

MODELS = st.sampled_from([((512, 800), 16), ((640, 640), 16), ((800, 512), 16), ((1024, 1600), 16), ((64, 96), 8)])
pages = st.tuples(st.integers(100, 4000), st.integers(100, 4000))


def log_aspect(size: Size) -> float:
    return math.log(size[0] / size[1])


@settings(deadline=None, max_examples=300)
@given(pages, MODELS)
def test_a_matching_canvas_works_and_shows_the_page_whole(page, model):
    size, multiple = matching_size(page, *model), model[1]
    assert size[0] % multiple == size[1] % multiple == 0
    assert canvas_size(size) == (2 * size[0], 2 * size[1])
    assert {edge % (multiple // 2) for edge in query_box(size)} == {0}, "the query begins on a latent pixel"
    aspect = min(max(log_aspect(page), -math.log(2)), math.log(2))
    area = math.prod(model[0])
    ideal = math.sqrt(area * math.exp(aspect)), math.sqrt(area / math.exp(aspect))
    assert all(abs(side - other) < multiple + 1e-6 for side, other in zip(size, ideal, strict=True))
    assert abs(log_aspect(size) - aspect) <= (0.07 if multiple == 8 else 0.03)
    if abs(log_aspect(page)) <= math.log(2):
        assert fit_box(page, size) == (0, 0, *page)


@settings(deadline=None, max_examples=100)
@given(pages, MODELS)
def test_turning_the_page_turns_the_canvas(page, model):
    width, height = matching_size(page, *model)
    turned = matching_size(page[::-1], model[0][::-1], model[1])
    assert log_aspect(turned) == pytest.approx(-log_aspect((width, height)))


@settings(deadline=None)
@given(MODELS, st.integers(1, 9))
def test_a_page_of_the_models_aspect_gets_the_models_size(model, scale):
    size = model[0]
    assert matching_size((scale * size[0], scale * size[1]), *model) == size


@pytest.mark.parametrize(("page", "size"), [((800, 12000), (448, 896)), ((5000, 700), (896, 448))])
def test_a_canvas_is_never_more_extreme_than_its_limit(page, size):
    assert matching_size(page, (512, 800), 16) == size
    left, top, right, bottom = fit_box(page, size)
    assert (left, right) == (0, 800) or (top, bottom) == (0, 700)


@pytest.mark.parametrize("arguments", [((0, 5), (64, 96), 8), ((5, 5), (64, 0), 8), ((5, 5), (64, 96), 0)])
def test_sizes_of_nothing_have_no_canvas(arguments):
    with pytest.raises(ValueError, match="expected sizes of at least 1"):
        matching_size(*arguments)
