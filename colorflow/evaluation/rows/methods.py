"""Configured methods as rows of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from colorflow.evaluation.bench.benchmark import References
from colorflow.evaluation.rows.specs import MethodSpec
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
    """

    name: str = "colorflow"
    references: References = "own"
    keep_luminance: bool = False
    gsrp: bool | None = None
    rap: bool = True
    canvas: float = 1.0


def colorflow_rows(
    weights: str,
    rows: Sequence[Row],
    recipe: Recipe,
    retrieval: RetrievalSettings | None = None,
    device: str = "auto",
    dtype: str = "float32",
    gsrp: str | None = None,
) -> Mapping[str, MethodSpec]:
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
            recipe=recipe,
        )

    files = _digests(folder) | ({} if gsrp is None else {"gsrp from": _digests(source)})
    shared_settings = [files, asdict(recipe), repr(retrieval), dtype]
    return {
        row.name: MethodSpec(
            lambda row=row: build(row),  # type: ignore[misc]
            row.references,
            digest_json([*shared_settings, asdict(row)]),
            release=release,
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


def predictions_rows(predictions: str | Mapping[str, str] | None, name: str = "predictions") -> dict[str, MethodSpec]:
    """Rows of folders ``<style>/<chapter>/NNN.png`` that any other systems made.

    Args:
        predictions: A folder, or folders by row name.
        name: Row name of a single folder.

    Raises:
        FileNotFoundError: For None.
    """
    if predictions is None:
        raise FileNotFoundError(
            "predictions: expected a folder <style>/<chapter>/NNN.png of another system's pictures, named as the "
            "benchmark's targets, got none; set predictions=DIR or 'predictions={NAME:DIR}'"
        )
    folders = predictions if isinstance(predictions, Mapping) else {name: predictions}
    return {row: MethodSpec(predictions=Path(folder)) for row, folder in folders.items()}
