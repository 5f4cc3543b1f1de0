"""The stages of an evaluation, row by row: every method colours all styles before the next one is loaded.

A row that cannot be made or scored is a matter of `Incomplete`; what concerns the output or the processes ends all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, astuple, dataclass, field
from pathlib import Path
from typing import Any, Literal

from colorflow.baselines.predictions import PredictionsError, PredictionsFolder
from colorflow.distributed.ranks import Ranks
from colorflow.evaluation.bench.benchmark import Benchmark, BenchmarkError
from colorflow.evaluation.generate.generate import MethodError, generate
from colorflow.evaluation.generate.generation_folder import check_settings, page_settings
from colorflow.evaluation.results import Key
from colorflow.evaluation.score.protocol import Protocol, Suite
from colorflow.evaluation.score.score import RowScores, check_pages, measure, score
from colorflow.methods import MethodSpec, Problem
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


logger = get_logger(__name__)


@dataclass(frozen=True)
class Work:
    """How the work is done, which changes no number but by the rounding of pages that are computed together.

    Attributes:
        ranks: The processes that share it. Given, never found in the environment: after a training of several processes
            one of them evaluates alone.
        batch_size: Pages that a method is asked for at once, where it can (`BatchColorizer`).
    """

    ranks: Ranks = field(default_factory=Ranks)
    batch_size: int = 1


@dataclass(frozen=True)
class Stages:
    """Rows in the making.

    Attributes:
        specs: By row name, in table order.
        benchmark: The pages.
        output: Folder of predictions and scores.
        styles: Inputs, each a row of every method.
        incomplete: The rows that are marked.
        work: By how many processes, and how.
        base_seed: Seed of the benchmark's first page.
        max_failures: Fraction of pages that a method may fail on.
        progress: Show bars.
    """

    specs: Mapping[str, MethodSpec]
    benchmark: Benchmark
    output: Path
    styles: Sequence[str]
    incomplete: Incomplete
    work: Work
    base_seed: int
    max_failures: float
    progress: bool

    @property
    def folders(self) -> dict[Key, PredictionsFolder]:
        """Where the pages of each row are, or will be."""
        return {
            (name, style): PredictionsFolder(spec.predictions or self.output / "predictions" / name, style)
            for style in self.styles
            for name, spec in self.specs.items()
        }

    @property
    def marked(self) -> list[dict[str, Any]]:
        """The rows that stand without numbers, as in results.json."""
        problems = self.incomplete.problems
        rows = [row for row in self.folders if row in problems]
        return [{"method": row[0], "style": row[1], **asdict(problems[row])} for row in rows]

    def check(self) -> None:
        """Find now what would fail after hours.

        Raises:
            ValueError: For styles that the benchmark lacks; where rows are not to be marked, for those that cannot be
                made, the ones with a problem of their own together.
        """
        if not self.styles:
            raise EvaluationError(f"styles: expected at least one of {', '.join(self.benchmark.styles)}, got none")
        for style in self.styles:
            self.benchmark.check_style(style)
        problems = {row: spec.problem for name, spec in self.specs.items() for row in self._rows(name)}
        self.incomplete.take({row: problem for row, problem in problems.items() if problem is not None})
        for name, spec in self.specs.items():
            with self.incomplete.noting(self._rows(name), BenchmarkError):
                self.benchmark.check_references(spec.references)
        for (name, style), folder in self.folders.items():
            if self.specs[name].predictions:
                with self.incomplete.noting([(name, style)], PredictionsError):
                    check_pages(folder, self.benchmark, method=name)
        self.incomplete.agree("checked")

    def generate(self, names: Iterable[str]) -> None:
        """Colour rows, after a look at all of their folders; one method at a time is in memory.

        Raises:
            RuntimeError: `GenerationError`, where the output cannot be used or, rows not being marked, one failed.
        """
        due = [name for name in names if self.specs[name].build and self._left(name)]
        if self.work.ranks.first:  # all that differ at once, before the first page
            rows = [row for name in due for row in self._left(name)]
            check_settings({self.output / "predictions" / row[0] / row[1]: self._settings(*row) for row in rows})
        for place, name in enumerate(due, 1):
            self._generate(name)
            release = self.specs[name].release
            if release is not None and all(self.specs[later].release is not release for later in due[place:]):
                release()

    def score(self, protocol: Protocol, suite: Suite) -> dict[Key, RowScores]:
        """Score every row; a folder that another system made must be complete.

        Several processes measure pages first, then the first one reads what all have kept and makes the rows of it.

        Returns:
            By row; nothing in all but the first process.
        """
        ranks = self.work.ranks
        if ranks.world > 1:
            for key, folder, options in self._scored(suite):
                with self.incomplete.noting([key], PredictionsError):
                    measure(folder, self.benchmark, protocol, ranks, **options)
            self.incomplete.agree("measured")
        scores = {}
        for key, folder, options in self._scored(suite) if ranks.first else ():
            with self.incomplete.noting([key], PredictionsError):
                scores[key] = score(folder, self.benchmark, protocol, **options)
        return scores

    def _rows(self, name: str) -> list[Key]:
        return [(name, style) for style in self.styles]

    def _left(self, name: str) -> list[Key]:
        """The rows of a method that are not marked."""
        return [row for row in self._rows(name) if row not in self.incomplete]

    def _settings(self, name: str, style: str) -> dict[str, Any]:
        spec = self.specs[name]
        return page_settings(self.benchmark, name, style, spec.references, self.base_seed, spec.fingerprint)

    def _generate(self, name: str) -> None:
        """Colour the rows of one method, which is held here alone."""
        spec, method = self.specs[name], None
        with self.incomplete.noting(self._left(name), Exception):  # weights and libraries of all kinds
            method = spec.build() if spec.build else None
        self.incomplete.agree(f"built {name}")
        for row in self._left(name):
            assert method is not None
            with self.incomplete.noting([row], MethodError):
                report = generate(
                    method,
                    self.benchmark,
                    self.output / "predictions",
                    name=name,
                    style=row[1],
                    references=spec.references,
                    base_seed=self.base_seed,
                    fingerprint=spec.fingerprint,
                    max_failures=self.max_failures,
                    batch_size=self.work.batch_size,
                    progress=self.progress,
                    ranks=self.work.ranks,
                )
                logger.info("%s (%s): %d pages coloured, %d kept", *row, report.written, report.reused)

    def _scored(self, suite: Suite) -> Iterator[tuple[Key, PredictionsFolder, dict[str, Any]]]:
        """The rows that are not marked, their folders, and options of ``score``."""
        for (name, style), folder in self.folders.items():
            if (name, style) not in self.incomplete:
                missing = 0.0 if self.specs[name].predictions else self.max_failures
                cache = self.output / "scores" / style / f"{name}.jsonl"
                options = {"method": name, "suite": suite, "max_missing": missing, "cache": cache}
                yield (name, style), folder, options | {"progress": self.progress}
