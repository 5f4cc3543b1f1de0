"""What a row of a table is made of, and why one cannot be made."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from colorflow.evaluation.bench.benchmark import References
from colorflow.schema import Colorizer


class EvaluationError(ValueError):
    """An evaluation that cannot be run as asked; the message says what to do."""


METHOD = "method"
"""Config key of a single method, by which methods call their options in messages."""


def in_words(error: Exception, key: str) -> str:
    """What an error says, with the options of its method under their config key, ``method.<name>`` among several."""
    return re.sub(rf"\b{METHOD}\.(?=\w)", f"{key}.", str(error) or type(error).__name__)


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
    def of(cls, error: Exception, key: str = METHOD) -> Problem:
        """Of an error, by `in_words`; a file that is not there is something that was not given."""
        return cls(in_words(error, key), not isinstance(error, FileNotFoundError))


@dataclass(frozen=True)
class MethodSpec:
    """One row of the table: a method, a folder of predictions, or a problem.

    Attributes:
        build: Makes the method; called once, only where pages are to be generated. Rows that share a
            model may share a cached ``build``. None for a row of another kind.
        references: Which pool the row gets.
        fingerprint: Tells the method from others of its row name (digest of weights and options);
            pages made under another one are not reused.
        predictions: Folder ``<style>/<chapter>/NNN.png`` that another system made, in place of ``build``.
        problem: Why there is neither.
        release: Lets go of what ``build`` keeps for the rows that it is shared by; called after the last of them.
        key: Config key of the method, for messages.
    """

    build: Callable[[], Colorizer] | None = None
    references: References = "own"
    fingerprint: str = ""
    predictions: Path | None = None
    problem: Problem | None = None
    release: Callable[[], None] | None = None
    key: str = METHOD

    def __post_init__(self) -> None:
        """A row comes from one of three."""
        if [self.build, self.predictions, self.problem].count(None) != 2:
            raise EvaluationError("MethodSpec: expected one of build, predictions and problem, got none or several")
