"""Methods as rows of a table: how a baseline, or anybody's package, tells an evaluation what it compares.

A method's configuration names a function by ``_target_``. It returns `Rows`, and evaluates nothing yet.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from colorflow.schema import Colorizer

References = Literal["own", "other_chapter", "none"]
"""Which pool a row gets: the page's own, one of the next chapter (wrong on purpose), or none."""


@dataclass(frozen=True)
class Problem:
    """Why a row has no numbers.

    Attributes:
        reason: In words, with the remedy.
        failed: Something went wrong; False: something was not given, such as weights.
    """

    reason: str
    failed: bool = True

    @classmethod
    def of(cls, error: Exception, key: str = "method") -> Problem:
        """Of an error; a file that is not there is something that was not given.

        Args:
            error: Its message calls options ``method.<name>``.
            key: Config key of the method, by which they are called in its place.
        """
        reason = re.sub(r"\bmethod\.(?=\w)", f"{key}.", str(error) or type(error).__name__)
        return cls(reason, not isinstance(error, FileNotFoundError))


@dataclass(frozen=True)
class MethodSpec:
    """One row of the table: a method, a folder of predictions, or a problem.

    Attributes:
        build: Makes the method; called once, only where pages are to be generated. Rows that share a
            model may share a cached ``build``. None for a row of another kind.
        references: Which pool the row gets.
        fingerprint: Hash of weights and options; cached pages with another hash are not reused.
        predictions: Folder ``<style>/<chapter>/NNN.png`` that another system made, in place of ``build``.
        problem: Why there is neither.
        release: Lets go of what ``build`` keeps for the rows that it is shared by; called after the last of them.
        label: What tables and pictures call the row, see `row_label`; empty: its name, in words.

    Raises:
        ValueError: For none, or several, of build, predictions and problem.
    """

    build: Callable[[], Colorizer] | None = None
    references: References = "own"
    fingerprint: str = ""
    predictions: Path | None = None
    problem: Problem | None = None
    release: Callable[[], None] | None = None
    label: str = ""

    def __post_init__(self) -> None:
        """A row comes from one of three."""
        if [self.build, self.predictions, self.problem].count(None) != 2:
            raise ValueError("MethodSpec: expected one of build, predictions and problem, got none or several")


Rows = Mapping[str, MethodSpec]
"""Rows of a table by their names, in its order."""


def row_label(row: str, method: str = "", label: str = "") -> str:
    """What a row is called: the label of its method, then what its name adds to the method's own.

    Args:
        row: Row name, e.g. ``ebmc_wrong_references``.
        method: Name that the method gives its row by default, e.g. ``ebmc``.
        label: Label of that row, e.g. ``EBMC``.

    Returns:
        ``EBMC, wrong references``; for a name of another kind the name in words.
    """
    added = row.removeprefix(method).replace("_", " ")
    if method and row.startswith(method) and added[:1] in ("", " "):
        return label + added.replace(" ", ", ", 1)
    return row[:1].upper() + row[1:].replace("_", " ")
