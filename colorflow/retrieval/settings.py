"""Retrieval settings to a retriever: the one place that knows all four kinds (paper section 3.1; ablations)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from colorflow.retrieval.encoders import ClipVisionEncoder, HogEncoder, OpenClipEncoder
from colorflow.retrieval.retriever import NoReferences, RandomRetriever, Retriever, SimilarityRetriever
from colorflow.schema import PatchEncoder

Kind = Literal["clip", "hog", "random", "none"]


@dataclass(frozen=True)
class RetrievalSettings:
    """How reference patches are chosen.

    Attributes:
        kind: ``clip`` (paper), ``hog`` (needs no download), ``random`` (no RAP, Table 2), ``none``.
        model: open_clip model name (kind clip).
        pretrained: open_clip weights tag (kind clip); None for random weights, the same on every machine.
        folder: A transformers CLIPVisionModelWithProjection folder instead of open_clip (kind clip).
        device: Where CLIP runs; ``auto``: where the networks of the pipeline are.
        dtype: What CLIP runs in: float32 or bfloat16.
    """

    kind: Kind = "clip"
    model: str = "ViT-H-14"
    pretrained: str | None = "laion2b_s32b_b79k"
    folder: str | None = None
    device: str = "cpu"
    dtype: str = "float32"

    @property
    def random_weights(self) -> bool:
        """Whether what is retrieved means nothing, because the network is random."""
        return self.kind == "clip" and self.folder is None and self.pretrained is None


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
    encoder = build_encoder(settings)
    return SimilarityRetriever(encoder) if cache else SimilarityRetriever(encoder, cached_pools=0, cached_pages=0)


def build_encoder(settings: RetrievalSettings) -> PatchEncoder:
    """Build the encoder that the settings compare pictures by.

    Raises:
        ValueError: For a kind that compares nothing, and for an unknown one.
    """
    if settings.kind == "hog":
        return HogEncoder()
    if settings.kind in ("random", "none"):
        raise ValueError(f"retrieval encoder: expected kind clip or hog, got {settings.kind}, which compares nothing")
    if settings.kind != "clip":
        raise ValueError(f"retrieval kind: expected clip, hog, random or none, got {settings.kind!r}")
    if settings.folder is not None:
        return ClipVisionEncoder(settings.folder, settings.device, settings.dtype)
    return OpenClipEncoder(settings.model, settings.pretrained, settings.device, settings.dtype)
