"""The one reference page of a method that takes one: the most similar of the pool, by our own retrieval."""

from __future__ import annotations

from PIL import Image

from colorflow.canvas import PATCHES_PER_PAGE
from colorflow.retrieval.retriever import SimilarityRetriever, top_k
from colorflow.schema import ReferencePool


class NoReferenceError(ValueError):
    """A page without references, for a method that cannot do without."""


def check_pool(method: str, references: ReferencePool) -> None:
    """Refuse an empty pool.

    Raises:
        NoReferenceError: Saying so.
    """
    if not references.pages:
        raise NoReferenceError(
            f"{method}: expected at least one reference page, got none; give it references (method.references=own), "
            "or a chapter of more than one page"
        )


def nearest_page(
    page: Image.Image, references: ReferencePool, retriever: SimilarityRetriever, part: Image.Image | None = None
) -> Image.Image:
    """The page of a pool whose whole view is most similar to the whole page (cosine; the first of equals).

    Args:
        page: The black-and-white page.
        references: Not empty.
        retriever: Embeds pages, and keeps what it has embedded.
        part: A part of the page that is compared in its place.
    """
    views = retriever.index(references, page.size).embeddings
    assert views is not None
    indices, _ = top_k(retriever.encoder([part or page]), views[::PATCHES_PER_PAGE], 1)
    return references.pages[int(indices[0, 0])]
