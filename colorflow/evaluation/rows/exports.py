"""Rows of an export folder: one set of weights, run in several ways."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from colorflow.methods import MethodSpec, References, Rows, row_label
from colorflow.pipelines.colorflow import ColorFlowPipeline, load_pipeline
from colorflow.pipelines.export import check_export, find_export
from colorflow.pipelines.recipes import Recipe
from colorflow.retrieval.retriever import RandomRetriever
from colorflow.retrieval.settings import RetrievalSettings
from colorflow.schema import Colorizer
from colorflow.utils.hashing import digest_file, digest_json


@dataclass(frozen=True)
class Row:
    """A row of a trained model.

    Attributes:
        name: Row name.
        references: ``own``, ``other_chapter`` (what the references are worth is the gap to it), or ``none``.
        keep_luminance: See `ColorFlowPipeline`.
        gsrp: Whether guided super-resolution is run; False gives ICP alone. None: where the weights have it.
        rap: False puts random patches of the pool in the places of retrieved ones (paper Table 2, our reading).
        canvas: Width and height of the canvas, relative to the weights' own (paper Table 3).
        label: What tables call the row; empty: ColorFlow with what the name says of it.
    """

    name: str = "colorflow"
    references: References = "own"
    keep_luminance: bool = False
    gsrp: bool | None = None
    rap: bool = True
    canvas: float = 1.0
    label: str = ""

    def __post_init__(self) -> None:
        """Every row has a label."""
        object.__setattr__(self, "label", self.label or row_label(self.name, "colorflow", "ColorFlow"))

    @property
    def options(self) -> dict[str, Any]:
        """All that can change a page."""
        return {key: value for key, value in asdict(self).items() if key != "label"}


def colorflow_rows(
    weights: str,
    rows: Sequence[Row],
    recipe: Recipe,
    retrieval: RetrievalSettings | None = None,
    device: str = "auto",
    dtype: str = "float32",
    gsrp: str | None = None,
) -> Rows:
    """Rows of one export folder; they share its networks, loaded when the first page is due.

    Args:
        weights: Export folder, or ``toon``, which comes with the package.
        rows: What is to be compared.
        recipe: How a page is computed.
        retrieval: Other than what the export folder names.
        device: ``auto`` takes the GPU where there is one.
        dtype: Of the networks.
        gsrp: Export folder that guided super-resolution is taken from; default: ``weights``, where it has one.

    Raises:
        FileNotFoundError: If there is no export folder, or no guided super-resolution for a row that asks for it.
    """
    folder, source = find_export(weights), find_export(gsrp or weights)
    _check_folders(folder, source, rows)

    @cache
    def load() -> ColorFlowPipeline:
        return load_pipeline(folder, recipe, retrieval=retrieval, gsrp=gsrp, device=device, dtype=dtype)

    release = load.cache_clear  # the same for all rows

    def build(row: Row) -> Colorizer:
        shared = load()
        return ColorFlowPipeline(
            shared.icp,
            shared.retriever if row.rap else RandomRetriever(),
            _scaled(shared.page_size, row.canvas),
            keep_luminance=row.keep_luminance,
            name=row.name,
            gsrp=None if row.gsrp is False else shared.gsrp,
            recipe=shared.recipe,
        )

    files = _digests(folder) | ({} if gsrp is None else {"gsrp from": _digests(source)})
    shared_settings = [files, asdict(recipe), repr(retrieval), dtype]
    return {
        row.name: MethodSpec(
            lambda row=row: build(row),  # type: ignore[misc]
            row.references,
            digest_json([*shared_settings, row.options]),
            release=release,
            label=row.label,
        )
        for row in rows
    }


def _scaled(size: tuple[int, int], canvas: float) -> tuple[int, int]:
    """A page size on a smaller or larger canvas, of even sides."""
    return 2 * round(size[0] * canvas / 2), 2 * round(size[1] * canvas / 2)


def _check_folders(folder: Path, gsrp: Path, rows: Sequence[Row]) -> None:
    check_export(folder)
    wanting = [row.name for row in rows if row.gsrp]
    if wanting and not (gsrp / "gsrp").is_dir():
        raise FileNotFoundError(
            f"gsrp: expected an export folder with gsrp/ for {', '.join(wanting)}, got {gsrp}; experiment=gsrp trains "
            "one"
        )


def _digests(folder: Path) -> dict[str, Any]:
    """Digest of every file, by its place in the folder."""
    return {str(path.relative_to(folder)): digest_file(path) for path in sorted(folder.rglob("*")) if path.is_file()}
