"""What methods that compare pages by our own retrieval share: their row, and the most similar page of a pool."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from PIL import Image

from colorflow.canvas import PATCHES_PER_PAGE
from colorflow.methods import MethodSpec, References, Rows
from colorflow.retrieval.retriever import SimilarityRetriever, top_k
from colorflow.retrieval.settings import RetrievalSettings, build_encoder
from colorflow.schema import Colorizer, ReferencePool
from colorflow.utils.devices import resolve_device
from colorflow.utils.hashing import digest_file, digest_json


class NoReferenceError(ValueError):
    """A page without references, for a method that cannot do without."""


def check_pool(method: str, references: ReferencePool) -> None:
    """Refuse an empty pool.

    Raises:
        NoReferenceError: Saying so.
    """
    if not references.pages:
        raise NoReferenceError(
            f"{method}: expected at least one reference page, got none; give it references (references=own), "
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


def retrieval_row(
    name: str,
    label: str,
    build: Callable[[SimilarityRetriever], Colorizer],
    references: References,
    retrieval: RetrievalSettings,
    settings: Mapping[str, Any],
) -> Rows:
    """The row of a method that compares pages by the configured encoder.

    Args:
        name: Row name.
        label: As for `MethodSpec`.
        build: Makes the method.
        references: Which pool the row gets.
        retrieval: The encoder; its files, not their place, are part of the fingerprint.
        settings: What else the fingerprint is of: options and digests of weights.
    """
    how = {key: value for key, value in asdict(retrieval).items() if key not in ("device", "folder")}
    if retrieval.folder is not None:
        files = sorted(path for path in Path(retrieval.folder).rglob("*") if path.is_file())
        how["folder"] = [digest_file(path) for path in files]

    def make() -> Colorizer:
        placed = replace(retrieval, device=str(resolve_device(retrieval.device)))
        return build(SimilarityRetriever(build_encoder(placed)))

    return {name: MethodSpec(make, references, digest_json([name, how, settings]), label=label)}
