"""A folder of pictures that any system made, read as the harness reads its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from colorflow.methods import MethodSpec, Rows
from colorflow.utils.images import IMAGE_SUFFIXES, natural_key


class PredictionsError(ValueError):
    """A predictions folder that cannot be scored as it is."""


@dataclass(frozen=True)
class PredictionsFolder:
    """``<root>/<style>/<chapter>/NNN.png``, pictures named as the benchmark's targets.

    Hidden files, files that are no pictures, and files beside the chapter folders (the manifest
    of ``generate``) are not looked at. Any picture suffix will do.

    Attributes:
        root: The folder that holds the style folders.
        style: Input style of these predictions, e.g. ``gray``.
    """

    root: Path
    style: str

    @property
    def folder(self) -> Path:
        """The folder that holds the chapter folders."""
        return self.root / self.style

    @cached_property
    def pages(self) -> dict[tuple[str, str], Path]:
        """Every picture by (chapter, page), naturally sorted.

        Raises:
            PredictionsError: For a missing folder, and for two pictures of one page.
        """
        if not self.folder.is_dir():
            raise PredictionsError(
                f"predictions: expected the folder {self.folder} with pictures <chapter>/NNN.png named as the "
                "benchmark's targets, found none; check the path and the style, or run stage=generate first"
            )
        found: dict[tuple[str, str], Path] = {}
        for path in sorted(self.folder.glob("*/*"), key=lambda item: natural_key(item.as_posix())):
            if path.suffix.lower() not in IMAGE_SUFFIXES or path.name.startswith(".") or not path.is_file():
                continue
            key = (path.parent.name, path.stem)
            if key in found:
                raise PredictionsError(
                    f"predictions: expected one picture a page, got {found[key].name} and {path.name} in "
                    f"{path.parent}; remove one"
                )
            found[key] = path
        return found


def rows(predictions: str | Mapping[str, str] | None, name: str = "predictions", label: str = "") -> Rows:
    """Rows of folders ``<style>/<chapter>/NNN.png`` that any other systems made.

    Args:
        predictions: A folder, or folders by row name.
        name: Row name of a single folder.
        label: As for `MethodSpec`, of a single folder.

    Raises:
        FileNotFoundError: For None.
    """
    if predictions is None:
        raise FileNotFoundError(
            "predictions: expected a folder <style>/<chapter>/NNN.png of another system's pictures, named as the "
            "benchmark's targets, got none; set predictions=DIR or 'predictions={NAME:DIR}'"
        )
    if isinstance(predictions, Mapping):
        return {row: MethodSpec(predictions=Path(folder)) for row, folder in predictions.items()}
    return {name: MethodSpec(predictions=Path(predictions), label=label)}
