"""Ranking, pools and the three retrievers."""

import math
from collections.abc import Sequence
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from torch import Tensor

from colorflow.canvas import reference_patches, stitch
from colorflow.retrieval.encoders import HogEncoder
from colorflow.retrieval.retriever import (
    PAGES_AT_ONCE,
    IndexedPool,
    NoReferences,
    RandomRetriever,
    SimilarityRetriever,
    cosine_similarity,
    reference_pool,
    top_k,
)
from colorflow.schema import ReferencePool

SIZE = (48, 64)
SLOTS = [(quadrant, rank) for quadrant in range(4) for rank in range(3)]


class MeanColor:
    name = "mean"

    def __init__(self) -> None:
        self.seen: list[int] = []

    def __call__(self, images: Sequence[Image.Image]) -> Tensor:
        self.seen.append(len(images))
        means = [image.convert("RGB").resize((1, 1), Image.Resampling.BOX).getpixel((0, 0)) for image in images]
        return torch.tensor(means).float()


def flat_pool(*colors: str) -> ReferencePool:
    return reference_pool(list(colors), [Image.new("RGB", (50, 60), color) for color in colors])


def drawing(seed: int, fill: str = "white") -> Image.Image:
    """A page of random strokes that no other seed has."""
    source = torch.Generator().manual_seed(seed)
    page = Image.new("RGB", (120, 160), fill)
    pen = ImageDraw.Draw(page)
    for _ in range(14):
        x, y, a, b = (torch.rand(4, generator=source) * torch.tensor([120, 160, 120, 160])).int().tolist()
        pen.line((x, y, a, b), "black", 4)
    return page


# --- top_k

vectors = st.integers(1, 4).flatmap(
    lambda dim: st.tuples(
        st.lists(st.lists(st.integers(-3, 3), min_size=dim, max_size=dim), min_size=1, max_size=3),
        st.lists(st.lists(st.integers(-3, 3), min_size=dim, max_size=dim), min_size=1, max_size=12),
    )
)


@settings(deadline=None, max_examples=200)
@given(vectors, st.integers(1, 5))
def test_top_k_against_exact_arithmetic(pair, k):
    """Small integer vectors tie often; the order is decided in rational numbers, ties by index."""
    queries, references = pair

    def signed_square(query: list[int], reference: list[int]) -> Fraction:
        dot = sum(a * b for a, b in zip(query, reference, strict=True))
        norms = sum(a * a for a in query) * sum(b * b for b in reference)
        return Fraction(dot * abs(dot), norms) if norms else Fraction(0)

    indices, values = top_k(torch.tensor(queries).float(), torch.tensor(references).float(), k)
    assert indices.shape == values.shape == (len(queries), min(k, len(references)))
    assert values.dtype == torch.float32
    for row, query in enumerate(queries):
        exact = [signed_square(query, reference) for reference in references]
        order = sorted(range(len(references)), key=lambda i: (-exact[i], i))
        assert indices[row].tolist() == order[:k]
        cosines = [math.copysign(math.sqrt(abs(exact[i])), exact[i]) for i in order[:k]]
        assert values[row].tolist() == pytest.approx(cosines, abs=1e-6)


def test_ties_are_exact_and_similarities_do_not_depend_on_the_company():
    source = torch.Generator().manual_seed(0)
    vector, others = torch.randn(1, 1024, generator=source), torch.randn(97, 1024, generator=source)
    references = torch.cat([others[:13], vector, others[13:], vector, vector])
    indices, values = top_k(vector + 0.1 * torch.randn(1, 1024, generator=source), references, 3)
    assert indices.tolist() == [[13, 98, 99]]
    assert values[0, 0] == values[0, 1] == values[0, 2]
    source = torch.Generator().manual_seed(1)
    queries, references = torch.randn(4, 300, generator=source), torch.randn(50, 300, generator=source)
    together = cosine_similarity(queries, references)
    alone = torch.cat([cosine_similarity(queries, row[None]) for row in references], dim=1)
    assert torch.equal(together, alone)


@pytest.mark.parametrize(
    ("queries", "references", "message"),
    [
        (torch.ones(4, 3), torch.ones(5, 2), r"\(4, 3\) and \(5, 2\)"),
        (torch.ones(3), torch.ones(5, 3), r"\(Q, D\)"),
        (torch.ones(1, 2), torch.tensor([[1.0, math.nan]]), "NaN"),
    ],
)
def test_top_k_refuses(queries, references, message):
    with pytest.raises(ValueError, match=message):
        top_k(queries, references)


# --- pools


def test_pool_keys_follow_ids_order_and_pixels_and_pages_are_rgb():
    red, blue = (Image.new("RGB", (9, 9), color) for color in ("red", "blue"))
    pools = [
        reference_pool(["a", "b"], [red, blue]),
        reference_pool(["a", "c"], [red, blue]),
        reference_pool(["a", "b"], [blue, red]),
        reference_pool(["b", "a"], [blue, red]),
        reference_pool(["a"], [red]),
        reference_pool([], []),
    ]
    assert len({pool.key for pool in pools}) == len(pools)
    assert reference_pool(["a", "b"], [red.copy(), blue]).key == pools[0].key
    pool = reference_pool(["a"], [Image.new("RGBA", (20, 20), (0, 0, 0, 0))])
    assert pool.pages[0].mode == "RGB"
    assert pool.pages[0].getpixel((5, 5)) == (255, 255, 255)


@pytest.mark.parametrize(("ids", "count"), [(["a", "a"], 2), (["a"], 2), (["a", "b"], 1)])
def test_pool_refuses_ids_that_do_not_fit(ids, count):
    with pytest.raises(ValueError, match="one unique id a page"):
        reference_pool(ids, [Image.new("RGB", (9, 9))] * count)


def test_patch_image_is_the_right_view_of_the_right_page():
    pages = (drawing(0).resize(SIZE), drawing(1).resize(SIZE))
    pool = IndexedPool(("a", "b"), "key", pages, None)
    for name, page in zip(("a", "b"), pages, strict=True):
        for patch, expected in enumerate(reference_patches(page)):
            found = pool.patch_image(name, patch)
            assert found.size == expected.size
            assert found.tobytes() == expected.tobytes()
    for name, patch in (("c", 0), ("a", 5), ("a", -1)):
        with pytest.raises(KeyError, match="pool's 2 ids"):
            pool.patch_image(name, patch)


# --- retrievers


def test_the_closest_pages_come_first_also_in_other_colors():
    retriever = SimilarityRetriever(MeanColor())
    pool = retriever.index(flat_pool("blue", "red", "#ff4000", "lime"), SIZE)
    chosen = retriever.select(Image.new("RGB", SIZE, "red"), pool, seed=0)
    assert [(c.quadrant, c.rank) for c in chosen] == SLOTS
    # All five views of the red page tie: the whole page, then TL, then TR, the same for every quadrant.
    assert [(c.reference, c.patch) for c in chosen] == [("red", 0), ("red", 1), ("red", 2)] * 4
    assert [c.similarity for c in chosen] == pytest.approx([1.0] * 12)
    retriever = SimilarityRetriever(HogEncoder())
    fills = ["#ffd0d0", "#d0ffd0", "#d0d0ff", "#ffffd0"]
    pages = [drawing(seed, fill) for seed, fill in enumerate(fills)]
    size = (96, 128)
    pool = retriever.index(reference_pool(list("abcd"), pages), size)
    query = drawing(2).convert("L").convert("RGB").resize(size)
    best = [c for c in retriever.select(query, pool, seed=0) if c.rank == 0]
    assert [(c.reference, c.patch) for c in best] == [("c", 1), ("c", 2), ("c", 3), ("c", 4)]


def test_similarities_fall_with_rank_and_one_reference_fills_all_slots():
    retriever = SimilarityRetriever(HogEncoder(32))
    pool = retriever.index(reference_pool(list("ab"), [drawing(3), drawing(4)]), SIZE)
    chosen = retriever.select(drawing(5).resize(SIZE), pool, seed=0)
    for quadrant in range(4):
        values = [c.similarity for c in chosen if c.quadrant == quadrant]
        assert values == sorted(values, reverse=True)
        assert len({(c.reference, c.patch) for c in chosen if c.quadrant == quadrant}) == 3
    pool = retriever.index(reference_pool(["only"], [drawing(0)]), SIZE)
    chosen = retriever.select(drawing(1).resize(SIZE), pool, seed=0)
    assert [(c.quadrant, c.rank) for c in chosen] == SLOTS
    assert {c.reference for c in chosen} == {"only"}
    uses = [(c.reference, c.patch) for c in chosen]
    assert len(set(uses)) < len(uses), "twelve slots, five views: some serve several query patches"


@pytest.mark.parametrize("retriever", [SimilarityRetriever(HogEncoder(32)), RandomRetriever(), NoReferences()])
def test_no_reference_is_legal(retriever):
    pool = retriever.index(reference_pool([], []), SIZE)
    assert pool.pages == ()
    assert retriever.select(drawing(0).resize(SIZE), pool, seed=0) == ()


def test_no_references_ignores_those_it_has():
    retriever = NoReferences()
    pool = retriever.index(flat_pool("red"), SIZE)
    query = drawing(0).resize(SIZE)
    chosen = retriever.select(query, pool, seed=0)
    assert chosen == ()
    canvas = stitch(query, {(c.quadrant, c.rank): pool.patch_image(c.reference, c.patch) for c in chosen})
    assert canvas.crop((0, 0, 96, 32)).getextrema() == ((255, 255),) * 3
    names = {SimilarityRetriever(HogEncoder(32)).name, SimilarityRetriever(HogEncoder(64)).name}
    names |= {RandomRetriever().name, NoReferences().name}
    assert len(names) == 4


def test_a_pool_is_encoded_once_until_it_falls_out_of_the_cache():
    encoder = MeanColor()
    retriever = SimilarityRetriever(encoder, cached_pools=2)
    red, blue, lime = (flat_pool(color) for color in ("red", "blue", "lime"))
    first = retriever.index(red, SIZE)
    assert retriever.index(flat_pool("red"), SIZE) is first, "equal content, equal key"
    assert encoder.seen == [5]
    retriever.index(red, (32, 32))  # another size is another pool
    assert encoder.seen == [5, 5]
    retriever.index(red, SIZE)  # used last
    retriever.index(blue, SIZE)  # pushes (red, 32 x 32) out
    assert retriever.index(red, SIZE) is first
    assert encoder.seen == [5, 5, 5]
    retriever.index(lime, SIZE)  # pushes blue out
    retriever.index(lime, SIZE)
    assert retriever.index(red, SIZE) is first
    assert encoder.seen == [5] * 4
    retriever.index(blue, SIZE)
    assert encoder.seen == [5] * 4, "the pool is made again, of embeddings that are still there"


def test_each_page_is_encoded_once_while_the_cache_holds_it():
    pages = [Image.new("RGB", SIZE, color) for color in ("red", "blue", "lime", "white")]
    encoder = MeanColor()
    retriever = SimilarityRetriever(encoder)
    for left_out in range(4):
        ids = [str(number) for number in range(4) if number != left_out]
        pool = reference_pool(ids, [pages[int(number)] for number in ids])
        alone = SimilarityRetriever(MeanColor()).index(pool, SIZE)
        embeddings = retriever.index(pool, SIZE).embeddings
        assert embeddings is not None
        assert alone.embeddings is not None
        assert torch.equal(embeddings, alone.embeddings)
    assert sum(encoder.seen) == 4 * 5
    encoder = MeanColor()
    retriever = SimilarityRetriever(encoder, cached_pools=1, cached_pages=1)
    for color in ("red", "blue", "red"):
        retriever.index(flat_pool(color), SIZE)
    assert encoder.seen == [5] * 3


def test_queries_of_another_size_and_foreign_pools_are_refused():
    retriever = SimilarityRetriever(MeanColor())
    pool = retriever.index(flat_pool("red"), SIZE)
    with pytest.raises(ValueError, match="page size"):
        retriever.select(Image.new("RGB", (64, 48)), pool, seed=0)
    with pytest.raises(ValueError, match="page size"):
        RandomRetriever().select(Image.new("RGB", (64, 48)), pool, seed=0)
    with pytest.raises(ValueError, match="embeddings"):
        retriever.select(Image.new("RGB", SIZE), RandomRetriever().index(flat_pool("red"), SIZE), seed=0)


def test_random_patches_differ_while_the_pool_has_enough():
    retriever = RandomRetriever()
    pool = retriever.index(flat_pool("red", "blue", "lime"), SIZE)
    query = Image.new("RGB", SIZE)
    seen = set()
    for seed in range(40):
        chosen = retriever.select(query, pool, seed=seed)
        assert [(c.quadrant, c.rank) for c in chosen] == SLOTS
        uses = {(c.reference, c.patch) for c in chosen}
        assert len(uses) == 12
        assert all(math.isnan(c.similarity) for c in chosen)
        seen |= {(slot, c.reference, c.patch) for slot, c in enumerate(chosen)}
    assert len({use[1:] for use in seen}) == 15, "every patch of the pool comes up"
    assert len(seen) > 12 * 15 * 0.85, "and in nearly every slot"
    small = retriever.index(flat_pool("red", "blue"), SIZE)
    chosen = retriever.select(query, small, seed=0)
    assert [(c.quadrant, c.rank) for c in chosen] == SLOTS
    assert {c.patch for c in chosen} <= set(range(5))

    def uses(seed: int) -> list[tuple[str, int]]:
        return [(c.reference, c.patch) for c in retriever.select(Image.new("RGB", SIZE), pool, seed=seed)]

    torch.manual_seed(0)
    first = uses(5)
    torch.manual_seed(1)
    assert uses(5) == first
    assert uses(6) != first


def test_queries_chosen_for_together_get_what_each_gets_alone_in_one_call_of_the_encoder():
    encoder = MeanColor()
    colors = ("red", "green", "blue", "white")
    for retriever in (SimilarityRetriever(encoder), RandomRetriever(), NoReferences()):
        pools = [retriever.index(flat_pool(*colors[:count]), SIZE) for count in (4, 0, 2)]
        queries = [drawing(seed).resize(SIZE) for seed in range(3)]
        alone = [retriever.select(*pair, seed=seed) for seed, pair in enumerate(zip(queries, pools, strict=True))]
        encoder.seen.clear()
        together = retriever.select_each(queries, pools, seeds=range(3))
        assert repr(together) == repr(alone)  # NaN is not itself
        assert encoder.seen == ([8] if isinstance(retriever, SimilarityRetriever) else [])


def test_many_pages_are_embedded_in_calls_of_bounded_size():
    encoder = MeanColor()
    pages = [Image.new("RGB", SIZE, (number, 0, 255 - number)) for number in range(PAGES_AT_ONCE + 3)]
    pool = reference_pool([str(number) for number in range(len(pages))], pages)
    indexed = SimilarityRetriever(encoder, cached_pools=0, cached_pages=0).index(pool, SIZE)
    assert encoder.seen == [5 * PAGES_AT_ONCE, 15]
    assert torch.equal(indexed.embeddings[::5], torch.tensor([page.getpixel((0, 0)) for page in pages]).float())
