"""Rows that cannot be whole: the first ends the evaluation, or all are marked and the others go on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import astuple
from typing import Literal

from colorflow.distributed.ranks import Ranks
from colorflow.evaluation.results import Key
from colorflow.methods import Problem
from colorflow.utils.log import get_logger

OnIncomplete = Literal["stop", "mark"]

logger = get_logger(__name__)


class EvaluationError(ValueError):
    """An evaluation that cannot be run as asked; the message says what to do."""


class Incomplete:
    """The rows that are marked.

    Args:
        mark: Whether to; False: errors go their way.
        ranks: The processes, each of which can meet a problem that the others do not.

    Attributes:
        problems: By row.
    """

    def __init__(self, mark: bool, ranks: Ranks) -> None:
        self.problems: dict[Key, Problem] = {}
        self._mark, self._ranks = mark, ranks

    def __contains__(self, row: Key) -> bool:
        """Whether a row is marked."""
        return row in self.problems

    def take(self, problems: Mapping[Key, Problem]) -> None:
        """Mark rows that cannot be made.

        Raises:
            EvaluationError: Of all problems together, where rows are not to be marked.
        """
        if problems and not self._mark:
            raise EvaluationError("\n".join(dict.fromkeys(problem.reason for problem in problems.values())))
        for row, problem in problems.items():
            self.add(row, problem)

    @contextmanager
    def noting(self, rows: Iterable[Key], *errors: type[Exception]) -> Iterator[None]:
        """Mark rows where the block ends by one of these errors."""
        try:
            yield
        except errors as error:
            if not self._mark:
                raise
            logger.debug("what marks a row", exc_info=True)
            for row in rows:
                self.add(row, Problem.of(error))

    def add(self, row: Key, problem: Problem) -> None:
        """Mark a row, unless it is: the first problem stands."""
        if row in self.problems:
            return
        if problem not in self.problems.values():  # said once of all rows that have it
            logger.warning("%s (%s) is left without numbers: %s", *row, problem.reason)
        self.problems[row] = problem

    def agree(self, step: str) -> None:
        """Meet the other processes: what one has marked is marked in all.

        Args:
            step: What has just been done.
        """
        told = self._ranks.gather(f"incomplete {step}", [[*row, *astuple(it)] for row, it in self.problems.items()])
        for name, style, reason, failed in (row for part in told for row in part):
            self.add((name, style), Problem(reason, failed))
