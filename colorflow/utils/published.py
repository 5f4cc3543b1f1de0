"""Weights that others publish and this project does not hold."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from colorflow.utils.tensors import MissingWeightsError


@dataclass(frozen=True)
class Published:
    """A file that others publish and this project does not hold.

    Attributes:
        what: Whose network, and the file's name there.
        where: Where it is published.
        licence: Of the weights.
        key: Config key that names it.
        more: What else can be done, and where more is said.
    """

    what: str
    where: str
    licence: str
    key: str = "method.weights"
    more: str = "(docs/baselines.md)"

    def find(self, path: str | Path | None, parts: Iterable[str] = ("",)) -> Path:
        """The path that the user, or a default, names.

        Args:
            path: Where the file should lie, or the folder of its parts.
            parts: Files below the path, all of which must be there.

        Raises:
            MissingWeightsError: Where they are not.
        """
        absent = [part for part in parts if path is None or not (Path(path) / part).is_file()]
        if path is not None and not absent:
            return Path(path)
        got = "got no path" if path is None else f"found none at {', '.join(str(Path(path) / part) for part in absent)}"
        put = f"set {self.key} to where it lies" if path is None else f"put it there or set {self.key}=PATH"
        raise MissingWeightsError(
            f"{self.key}: expected {self.what}, {got}. Published {self.where}; licence: {self.licence}. Fetch it and "
            f"{put} {self.more}"
        )
