"""Retrieval of reference patches (RAP, paper section 3.1), given an encoder.

The four patches of a query are compared with the five views of every reference page; the three
most similar views of each take the slots of the canvas. The random and the empty retriever are
for the ablations.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import nan
from typing import Protocol

import torch
from PIL import Image
from torch import Tensor

from colorflow.canvas import PATCHES_PER_PAGE, Size, fit_page, query_patches, reference_patches
from colorflow.schema import QUADRANTS, RANKS, PatchEncoder, ReferencePool, RetrievedPatch
from colorflow.utils.hashing import digest_image, digest_json
from colorflow.utils.images import to_rgb
from colorflow.utils.seeding import generator

PAGES_AT_ONCE = 64
"""Pages whose patches are cut and embedded in one call of an encoder: enough to fill its batches, not its memory."""

_TINY = torch.finfo(torch.float64).tiny  # an embedding of zeros is similar to nothing: cosine 0


@dataclass(frozen=True, eq=False)
class IndexedPool:
    """A pool made ready for one page size.

    Attributes:
        ids: One id a page.
        key: The key of the pool it was made from.
        pages: The pages fitted to W x H, RGB.
        embeddings: ``(5N, D)`` float32, view ``i % 5`` of page ``i // 5`` in row i; None where the
            retriever compares nothing or the pool is empty.
    """

    ids: tuple[str, ...]
    key: str
    pages: tuple[Image.Image, ...]
    embeddings: Tensor | None
    _views: dict[tuple[str, int], Image.Image] = field(default_factory=dict, init=False, repr=False)

    def patch_image(self, reference_id: str, patch: int) -> Image.Image:
        """Return one view of one page: 0 the whole page, 1 to 4 its quadrants; cut once, not to be modified.

        Raises:
            KeyError: For an id or a view that the pool does not have.
        """
        if reference_id not in self.ids or not 0 <= patch < PATCHES_PER_PAGE:
            raise KeyError(
                f"expected one of the pool's {len(self.ids)} ids and a view from 0 to 4, got "
                f"{reference_id!r} and {patch}; look patches up in the pool they were selected from"
            )
        if (reference_id, patch) not in self._views:
            views = reference_patches(self.pages[self.ids.index(reference_id)])
            self._views[reference_id, patch] = views[patch]
        return self._views[reference_id, patch]


class Retriever(Protocol):
    """Chooses reference patches for a query. ``name`` tells what it compares, for cache keys."""

    name: str

    def index(self, pool: ReferencePool, size: Size) -> IndexedPool:
        """Fit a pool to a page size (W, H) and embed it where that is needed."""

    def select(self, query: Image.Image, pool: IndexedPool, *, seed: int) -> tuple[RetrievedPatch, ...]:
        """Choose a patch for each of the twelve slots of a W x H query; none without references."""

    def select_each(
        self, queries: Sequence[Image.Image], pools: Sequence[IndexedPool], *, seeds: Sequence[int]
    ) -> list[tuple[RetrievedPatch, ...]]:
        """Choose for several queries at once, each with a pool and a seed of its own."""
        return [self.select(query, pool, seed=seed) for query, pool, seed in zip(queries, pools, seeds, strict=True)]


def reference_pool(ids: Sequence[str], pages: Sequence[Image.Image]) -> ReferencePool:
    """Make a pool, with its key, of pages in upload order.

    Args:
        ids: One unique id a page.
        pages: Images of any size and mode.

    Raises:
        ValueError: For repeated ids, or other counts of ids than pages.
    """
    if len(ids) != len(pages) or len(set(ids)) != len(ids):
        raise ValueError(
            f"reference_pool: expected one unique id a page, got {len(ids)} ids ({len(set(ids))} different) "
            f"for {len(pages)} pages"
        )
    converted = tuple(to_rgb(page) for page in pages)
    key = digest_json([list(ids), [digest_image(page) for page in converted]])
    return ReferencePool(tuple(ids), converted, key)


def top_k(query_embeds: Tensor, reference_embeds: Tensor, k: int = RANKS) -> tuple[Tensor, Tensor]:
    """Find the most similar references of each query by cosine.

    Args:
        query_embeds: ``(Q, D)`` float.
        reference_embeds: ``(N, D)`` float.
        k: How many, at most N are returned.

    Returns:
        Indices ``(Q, min(k, N))`` int64 and their cosines, float32 in [-1, 1], best first; between
        equals the lower index comes first.

    Raises:
        ValueError: For shapes that do not match, and for NaN or infinite embeddings.
    """
    similarities = cosine_similarity(query_embeds, reference_embeds)
    values, indices = similarities.sort(dim=1, descending=True, stable=True)
    return indices[:, :k], values[:, :k]


def cosine_similarity(query_embeds: Tensor, reference_embeds: Tensor) -> Tensor:
    """Return all cosines, ``(Q, N)`` float32, of ``(Q, D)`` and ``(N, D)``.

    Summed row by row in float64: equal references get equal cosines (a matrix product does not
    promise that), and nothing depends on how many there are.

    Raises:
        ValueError: For shapes that do not match, and for NaN or infinite embeddings.
    """
    if query_embeds.ndim != 2 or reference_embeds.ndim != 2 or query_embeds.shape[1] != reference_embeds.shape[1]:
        raise ValueError(
            "cosine_similarity: expected (Q, D) and (N, D), got "
            f"{tuple(query_embeds.shape)} and {tuple(reference_embeds.shape)}; embed both with one encoder"
        )
    queries, references = query_embeds.double(), reference_embeds.double()
    products = torch.stack([(query * references).sum(1) for query in queries])
    similarities = products / (queries.norm(dim=1)[:, None] * references.norm(dim=1)).clamp(min=_TINY)
    if not torch.isfinite(similarities).all():
        raise ValueError("cosine_similarity: expected finite embeddings, got NaN or infinity from the encoder")
    return similarities.float().clamp(-1, 1)


class SimilarityRetriever(Retriever):
    """The paper's retriever: the three most similar patches for each query patch, by cosine.

    Args:
        encoder: Embeds queries and references alike.
        cached_pools: How many indexed pools are kept; with 0 here and in ``cached_pages`` every page embeds its pool
            again, as released.
        cached_pages: How many pages' embeddings are kept, by content: pools that share pages (leave-one-out) share
            them, so that a reference is encoded once a chapter.
    """

    def __init__(self, encoder: PatchEncoder, cached_pools: int = 8, cached_pages: int = 4096) -> None:
        self.encoder = encoder
        self.cached_pools, self.cached_pages = cached_pools, cached_pages
        self.name = f"similarity-{encoder.name}"
        self._cache: OrderedDict[tuple[str, Size], IndexedPool] = OrderedDict()
        self._embeddings: OrderedDict[tuple[str, Size], Tensor] = OrderedDict()

    def index(self, pool: ReferencePool, size: Size) -> IndexedPool:
        """Fit and embed a pool, or return it from the cache (by pool key and size)."""
        key = (pool.key, size)
        if key not in self._cache:
            pages = tuple(fit_page(page, size) for page in pool.pages)
            self._cache[key] = IndexedPool(pool.ids, pool.key, pages, self._embed(pages) if pages else None)
        self._cache.move_to_end(key)
        indexed = self._cache[key]
        while len(self._cache) > self.cached_pools:
            self._cache.popitem(last=False)
        return indexed

    def select(self, query: Image.Image, pool: IndexedPool, *, seed: int) -> tuple[RetrievedPatch, ...]:
        """Return the best patches of each slot; ``seed`` is not used.

        The same patch may serve several query patches (released code). One reference fills all
        twelve slots with its five views.

        Raises:
            ValueError: For a query of another size than the pool's pages, or a pool without embeddings.
        """
        return self.select_each([query], [pool], seeds=[seed])[0]

    def select_each(
        self, queries: Sequence[Image.Image], pools: Sequence[IndexedPool], *, seeds: Sequence[int]
    ) -> list[tuple[RetrievedPatch, ...]]:
        """Return what `select` does for each query, with all of them embedded in one call of the encoder."""
        asked = [query for query, pool in zip(queries, pools, strict=True) if _can_answer(pool, query)]
        patches = [patch for query in asked for patch in query_patches(query)]
        embeddings = iter(self.encoder(patches).split(len(QUADRANTS)) if patches else ())
        return [self._nearest(pool, next(embeddings)) if pool.pages else () for pool in pools]

    def _nearest(self, pool: IndexedPool, embeddings: Tensor) -> tuple[RetrievedPatch, ...]:
        """The best patches of each slot for the embedded patches of a query, ``(4, D)``."""
        assert pool.embeddings is not None
        indices, similarities = top_k(embeddings, pool.embeddings)
        return tuple(
            _retrieved(pool, index, quadrant, rank, similarities[quadrant, rank].item())
            for quadrant, row in enumerate(indices.tolist())
            for rank, index in enumerate(row)
        )

    def _embed(self, pages: Sequence[Image.Image]) -> Tensor:
        """Embed the views of fitted pages, ``(5N, D)``; only those of pages not seen before are encoded."""
        keys = [(digest_image(page), page.size) for page in pages]
        fresh = {key: page for key, page in zip(keys, pages, strict=True) if key not in self._embeddings}
        for start in range(0, len(fresh), PAGES_AT_ONCE):
            some = list(fresh)[start : start + PAGES_AT_ONCE]
            embeddings = self.encoder([patch for key in some for patch in reference_patches(fresh[key])])
            self._embeddings.update(zip(some, embeddings.split(PATCHES_PER_PAGE), strict=True))
        result = torch.cat([self._embeddings[key] for key in keys])
        for key in keys:
            self._embeddings.move_to_end(key)
        while len(self._embeddings) > self.cached_pages:
            self._embeddings.popitem(last=False)
        return result


class RandomRetriever(Retriever):
    """Ablation: random patches of the pool in all twelve slots, similarity NaN."""

    name = "random"

    def index(self, pool: ReferencePool, size: Size) -> IndexedPool:
        """Fit a pool to a page size."""
        return IndexedPool(pool.ids, pool.key, tuple(fit_page(page, size) for page in pool.pages), None)

    def select(self, query: Image.Image, pool: IndexedPool, *, seed: int) -> tuple[RetrievedPatch, ...]:
        """Draw twelve patches from the seed alone, all different where the pool has that many.

        Raises:
            ValueError: For a query of another size than the pool's pages.
        """
        if not pool.pages:
            return ()
        _check_size(query, pool)
        count, slots = PATCHES_PER_PAGE * len(pool.pages), len(QUADRANTS) * RANKS
        source = generator("random patches", seed)
        if count >= slots:
            drawn = torch.randperm(count, generator=source)[:slots]
        else:
            drawn = torch.randint(count, (slots,), generator=source)
        return tuple(
            _retrieved(pool, index, slot // RANKS, slot % RANKS, nan) for slot, index in enumerate(drawn.tolist())
        )


class NoReferences(Retriever):
    """Ablation: the query alone on a white canvas."""

    name = "none"

    def index(self, pool: ReferencePool, size: Size) -> IndexedPool:
        """Return an empty pool under the given one's key."""
        return IndexedPool((), pool.key, (), None)

    def select(self, query: Image.Image, pool: IndexedPool, *, seed: int) -> tuple[RetrievedPatch, ...]:
        """Return nothing."""
        return ()


def _retrieved(pool: IndexedPool, index: int, quadrant: int, rank: int, similarity: float) -> RetrievedPatch:
    """Name the patch at a row of the embeddings."""
    page, patch = divmod(index, PATCHES_PER_PAGE)
    return RetrievedPatch(pool.ids[page], patch, quadrant, rank, similarity)


def _can_answer(pool: IndexedPool, query: Image.Image) -> bool:
    """Whether a pool has pages; they must then be embedded and of the query's size."""
    if not pool.pages:
        return False
    _check_size(query, pool)
    if pool.embeddings is None:
        raise ValueError("SimilarityRetriever: expected a pool with embeddings; make it with this retriever's index")
    return True


def _check_size(query: Image.Image, pool: IndexedPool) -> None:
    if query.size != pool.pages[0].size:
        raise ValueError(
            f"select: expected a query of the pool's page size {pool.pages[0].size}, got {query.size}; "
            "fit the query with canvas.fit_page, or index the pool at its size"
        )
