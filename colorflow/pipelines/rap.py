"""Retrieval settings to a retriever: the one place that knows all four kinds (paper section 3.1; ablations)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from colorflow.models.image_encoder import ClipVisionEncoder, HogEncoder, OpenClipEncoder
from colorflow.retrieval import NoReferences, RandomRetriever, Retriever, SimilarityRetriever
from colorflow.schema import PatchEncoder

Kind = Literal["clip", "hog", "random", "none"]


@dataclass(frozen=True)
class RetrievalSettings:
    """How reference patches are chosen.

    Attributes:
        kind: ``clip`` (paper), ``hog`` (needs no download), ``random`` (no RAP, Table 2), ``none``.
        model: open_clip model name (kind clip).
        pretrained: open_clip weights tag (kind clip).
        folder: A transformers CLIPVisionModelWithProjection folder instead of open_clip (kind clip).
        device: Where CLIP runs; ``auto``: where the networks of the pipeline are.
        dtype: What CLIP runs in: float32 or bfloat16.
    """

    kind: Kind = "clip"
    model: str = "ViT-H-14"
    pretrained: str = "laion2b_s32b_b79k"
    folder: str | None = None
    device: str = "cpu"
    dtype: str = "float32"


def build_retriever(settings: RetrievalSettings, cache: bool = True) -> Retriever:
    """Build the retriever that the settings name.

    Args:
        settings: Kind and encoder.
        cache: Whether a reference page's embeddings are kept for the next page; the released demo keeps none.

    Raises:
        ValueError: For an unknown kind.
    """
    if settings.kind == "random":
        return RandomRetriever()
    if settings.kind == "none":
        return NoReferences()
    encoder = _build_encoder(settings)
    return SimilarityRetriever(encoder) if cache else SimilarityRetriever(encoder, cached_pools=0, cached_pages=0)


def _build_encoder(settings: RetrievalSettings) -> PatchEncoder:
    if settings.kind == "hog":
        return HogEncoder()
    if settings.kind != "clip":
        raise ValueError(f"retrieval kind: expected clip, hog, random or none, got {settings.kind!r}")
    if settings.folder is not None:
        return ClipVisionEncoder(settings.folder, settings.device, settings.dtype)
    return OpenClipEncoder(settings.model, settings.pretrained, settings.device, settings.dtype)
