"""Pages on canvases of their own aspect, through every family's networks: odd levels, pools of several sizes, maps."""

import numpy as np
import pytest
from PIL import Image
from tiny.comics import BlockEncoder, draw_page
from tiny.models import FAMILIES, PAGE_SIZE, tiny_pipeline

from colorflow.pipelines.attention import AttentionSettings, attention_layers, attention_map
from colorflow.pipelines.colorflow import ColorFlowPipeline
from colorflow.pipelines.icp import Sampling
from colorflow.retrieval.retriever import SimilarityRetriever, reference_pool

REFERENCES = reference_pool(["a", "b"], [draw_page(1), draw_page(2)])


@pytest.fixture(scope="module", params=list(FAMILIES))
def pipe(request: pytest.FixtureRequest) -> ColorFlowPipeline:
    icp = tiny_pipeline(FAMILIES[request.param]())
    return ColorFlowPipeline(icp, SimilarityRetriever(BlockEncoder()), PAGE_SIZE, Sampling(num_inference_steps=1))


@pytest.mark.parametrize(
    ("aspect", "size"), [((60, 40), (48, 32)), ((50, 50), (32, 32)), ((40, 60), (32, 48)), ((30, 70), (32, 64))]
)
def test_a_page_is_coloured_on_its_own_canvas(pipe, aspect, size):
    page, fitting = draw_page(0).resize(aspect), pipe.for_page(aspect)
    output = fitting(page, REFERENCES, seed=1)
    assert (fitting.page_size, pipe.page_size) == (size, PAGE_SIZE)
    assert output.canvas.size == (2 * size[0], 2 * size[1])
    assert output.image.size == size
    assert len(output.retrieved) == 12
    for layer in attention_layers(pipe):
        settings = AttentionSettings((0.2, 0.2, 0.6, 0.6), layer)
        found = attention_map(fitting, page, REFERENCES, settings)
        assert found.weights.sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("size", [(48, 48), (80, 48), (48, 112)])
def test_odd_levels(pipe, size):
    output = pipe.at_size(size)(draw_page(0).resize(size), REFERENCES)
    assert output.image.size == size


def test_a_page_of_the_models_aspect_is_coloured_as_ever(pipe):
    page = draw_page(0).resize((64, 96))
    plain, fitting = pipe(page, REFERENCES, seed=3), pipe.for_page(page.size)(page, REFERENCES, seed=3)
    assert np.array_equal(np.asarray(plain.image), np.asarray(fitting.image))
    other = pipe.at_size((48, 48))(page, REFERENCES, seed=3)
    assert other.image.size == (48, 48)
    again = pipe(page, REFERENCES, seed=3)
    assert np.array_equal(np.asarray(plain.image), np.asarray(again.image)), "the pipeline itself stays as it is"


def test_pools_are_kept_for_several_sizes_and_belong_to_theirs(pipe):
    sizes = [(32, 48), (48, 32), (32, 32), (48, 48)]
    first = [pipe.at_size(size).index(REFERENCES) for size in sizes]
    assert [pool.pages[0].size for pool in first] == sizes
    assert all(pipe.at_size(size).index(REFERENCES) is pool for size, pool in zip(sizes, first, strict=True))
    assert pipe.index(REFERENCES) is first[0]
    pool = pipe.at_size((48, 32)).index(REFERENCES)
    with pytest.raises(ValueError, match=r"expected a query of the pool's page size \(48, 32\), got \(32, 48\)"):
        pipe(Image.new("L", (40, 60)), pool)
