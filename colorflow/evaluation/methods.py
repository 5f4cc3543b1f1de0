"""Configured methods as rows of a table."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import cast

import torch

from colorflow.evaluation.benchmark import References
from colorflow.evaluation.run import MethodSpec
from colorflow.pipelines.colorflow import ColorFlowPipeline
from colorflow.pipelines.icp import Sampling
from colorflow.pipelines.rap import RetrievalSettings
from colorflow.utils.hashing import digest_file, digest_json

_ROWS = {"own": "colorflow", "other_chapter": "colorflow_wrong_references", "none": "colorflow_no_references"}


def colorflow_rows(
    weights: str,
    references: list[str],
    sampling: Sampling,
    retrieval: RetrievalSettings | None = None,
    device: str = "auto",
    dtype: str = "float32",
    name: str = "colorflow",
) -> Mapping[str, MethodSpec]:
    """One row for each kind of references; all share one model, loaded when the first page is due.

    Args:
        weights: Export folder.
        references: Any of ``own``, ``other_chapter`` (learning by reference shows as the gap to it), ``none``.
        sampling: Steps and scales.
        retrieval: Other than what the export folder names.
        device: ``auto`` takes the GPU where there is one.
        dtype: Of the networks.
        name: Row name; the other rows get it as prefix.

    Raises:
        FileNotFoundError: If there is no export folder.
        ValueError: For unknown references.
    """
    unknown = sorted(set(references) - set(_ROWS))
    if unknown:
        raise ValueError(f"method.references: expected any of {sorted(_ROWS)}, got {unknown}")
    folder = Path(weights)
    if not (folder / "model_index.json").is_file():
        raise FileNotFoundError(
            f"weights: expected an export folder with model_index.json, got {weights}; training writes one to "
            "runs/<experiment>/<time>/export"
        )

    @cache
    def load() -> ColorFlowPipeline:
        target = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
        pipeline = ColorFlowPipeline.from_pretrained(folder, getattr(torch, dtype), target, retrieval)
        pipeline.sampling = sampling
        return pipeline

    files = {str(path.relative_to(folder)): digest_file(path) for path in sorted(folder.rglob("*")) if path.is_file()}
    fingerprint = digest_json([files, repr(sampling), repr(retrieval), dtype])
    return {
        _ROWS[kind].replace("colorflow", name, 1): MethodSpec(load, cast(References, kind), fingerprint)
        for kind in references
    }


def predictions_rows(predictions: str, name: str) -> Mapping[str, MethodSpec]:
    """The row of a folder ``<style>/<chapter>/NNN.png`` that any other system made."""
    return {name: MethodSpec(predictions=Path(predictions))}
