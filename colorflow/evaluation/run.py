"""generate -> score -> report in one call; each stage can be run again alone.

``<output>/predictions/<row name>/<style>/...`` (generate), ``<output>/scores/<style>/<row name>.jsonl`` and
``<output>/results.json`` (score), the tables, ``index.html`` and ``strip.png`` (report).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from colorflow.baselines import gray_copy
from colorflow.baselines.predictions import PredictionsFolder
from colorflow.evaluation.bench.benchmark import Benchmark, read_benchmark
from colorflow.evaluation.report.beside_paper import beside_grids
from colorflow.evaluation.report.paper import TABLES
from colorflow.evaluation.report.report import write_report
from colorflow.evaluation.report.tables import label, print_table
from colorflow.evaluation.results import GRAY_COPY, Bootstrap, Key, Results, build_results, read_results, write_results
from colorflow.evaluation.score.protocol import MetricSize, Protocol, Suite, build_suite, describe_run
from colorflow.evaluation.score.score import RowScores
from colorflow.evaluation.stages import EvaluationError, Incomplete, OnIncomplete, Stages, Work
from colorflow.methods import MethodSpec
from colorflow.metrics import MetricSettings
from colorflow.metrics.catalog.ssim import SsimWindow
from colorflow.utils.log import get_logger
from colorflow.utils.output_lock import locked

Stage = Literal["all", "generate", "score", "report"]

logger = get_logger(__name__)


@dataclass(frozen=True)
class ReportSettings:
    """Where results go and what they stand beside.

    Attributes:
        folder: Of ``results.json``, tables and pictures; default: the output. Reports on different rows of one output
            share the pages and scores that lie there.
        table: A table of the paper (``table1`` to ``table5``) that is shown with ours beside it.
    """

    folder: str | Path | None = None
    table: str | None = None

    def __post_init__(self) -> None:
        """Only the tables there are."""
        if self.table is not None and self.table not in TABLES:
            raise EvaluationError(f"report.table: expected one of {', '.join(TABLES)}, got {self.table!r}")


ALONE = Work()
"""One process, page by page."""


ALONGSIDE = ReportSettings()
"""The report in the output, without a table of the paper."""


def evaluate(
    methods: Mapping[str, MethodSpec],
    benchmark_root: str | Path,
    output: str | Path,
    *,
    stage: Stage = "all",
    styles: Sequence[str] = ("gray",),
    metric_size: MetricSize = (512, 800),
    ssim_window: SsimWindow = "uniform7",
    metrics: MetricSettings | None = None,
    base_seed: int = 0,
    max_failures: float = 0.05,
    incomplete: OnIncomplete = "stop",
    bootstrap: Bootstrap | None = None,
    report: ReportSettings = ALONGSIDE,
    progress: bool = True,
    work: Work = ALONE,
) -> Results:
    """Run the stages of an evaluation; the gray copy is always the first row, and what scoring needs is checked first.

    Args:
        methods: Row name -> how its pages come about, in table order.
        benchmark_root: A benchmark folder.
        output: Folder for all results; may hold those of a run that was stopped.
        stage: ``all``, or one stage alone. ``score`` builds no method; ``report`` reads results.json.
        styles: Input styles, each a row of every method.
        metric_size: As for `Protocol`.
        ssim_window: As for `Protocol`.
        metrics: What is measured and by which weights; default: all that needs no network.
        base_seed: Seed of the benchmark's first page.
        max_failures: Fraction of pages that a method may fail on.
        incomplete: A row that cannot be whole: ``stop`` ends all; ``mark``: it stands without numbers and says why.
        bootstrap: How intervals are made.
        report: Where results go, and a table of the paper to show beside them.
        progress: Show bars, and the table at the end.
        work: By how many processes, and how.

    Returns:
        What results.json holds, infinite values as floats; no rows after ``generate`` and on all but the first process.

    Raises:
        ValueError, RuntimeError: `EvaluationError` and the stages' own, each with a remedy.
    """
    _check_choices(stage, incomplete)
    protocol, output = Protocol(_size(metric_size), ssim_window), Path(output)
    benchmark, specs = read_benchmark(benchmark_root, verify=work.ranks.first), _with_gray_copy(methods)
    marks = Incomplete(incomplete == "mark", work.ranks)
    stages = Stages(specs, benchmark, output, styles, marks, work, base_seed, max_failures, progress)
    stages.check()
    suite = build_suite(metrics or MetricSettings()) if stage in ("all", "score") else Suite()
    draws, folder = bootstrap or Bootstrap(), Path(report.folder or output)
    run = work.ranks.agree("protocol", describe_run(protocol, benchmark, draws.describe(), suite, report.table))
    with locked(output, work.ranks.first):
        stages.generate(_colored(specs, stage))
        results: Results = {"protocol": run, "rows": [], "incomplete": stages.marked, "pages": []}
        if stage in ("all", "score"):
            results = _tabulate(stages, stages.score(protocol, suite), run, draws, folder)
        if stage in ("all", "report") and work.ranks.first:
            results = _report(benchmark, stages.folders, folder)
    return _printed(results) if progress and results["rows"] else results


def _printed(results: Results) -> Results:
    print_table(results)
    for grid in beside_grids(results):
        grid.print()
    return results


def _check_choices(stage: str, incomplete: str) -> None:
    for key, value, choices in (("stage", stage, Stage), ("incomplete", incomplete, OnIncomplete)):
        if value not in get_args(choices):
            raise EvaluationError(f"{key}: expected one of {', '.join(get_args(choices))}, got {value!r}")


def _with_gray_copy(methods: Mapping[str, MethodSpec]) -> dict[str, MethodSpec]:
    """Check row names and put the gray copy first."""
    for name in methods:
        if not re.fullmatch(r"[\w][\w.+-]*", name):
            raise EvaluationError(f"row name: expected letters, digits and any of _ . + -, got {name!r}")
    return {**gray_copy.rows(), **methods}


def _size(size: Any) -> MetricSize:
    """Accept lists, as configs give them."""
    return "native" if size == "native" else (int(size[0]), int(size[1]))


def _colored(names: Iterable[str], stage: Stage) -> list[str]:
    """The rows that a stage colours; ``score`` alone still copies the gray pages, which needs no model."""
    return [name for name in names if stage in ("all", "generate") or (stage == "score" and name == GRAY_COPY)]


def _tabulate(
    stages: Stages, scores: Mapping[Key, RowScores], run: Mapping[str, Any], draws: Bootstrap, output: Path
) -> Results:
    results = build_results(
        [page for row in scores.values() for page in row.pages],
        run,
        draws,
        sets={key: row.sets for key, row in scores.items()},
        chapters={key: row.chapters for key, row in scores.items()},
        incomplete=stages.marked,
    )
    for row in (*results["rows"], *results["incomplete"]):
        row["label"] = stages.specs[row["method"]].label or label(row["method"])
    for row in results["rows"]:
        row["fingerprint"] = stages.specs[row["method"]].fingerprint
    if stages.work.ranks.first:
        write_results(results, output / "results.json")
    return results


def _report(benchmark: Benchmark, folders: Mapping[Key, PredictionsFolder], output: Path) -> Results:
    """Write the report of results.json, for the rows that it has."""
    results = read_results(output / "results.json")
    if results["protocol"]["benchmark"]["sha256"] != benchmark.digest:
        raise EvaluationError(
            f"{output / 'results.json'}: scored on benchmark {results['protocol']['benchmark']['name']} of other "
            "pages; run stage=score again"
        )
    there = {(row["method"], row["style"]): folders.get((row["method"], row["style"])) for row in results["rows"]}
    absent = [f"{name} ({style})" for (name, style), folder in there.items() if folder is None]
    if absent:
        logger.warning(
            "results.json has rows without a method given now, shown without pictures: %s", ", ".join(absent)
        )
    write_report(results, benchmark, {key: folder for key, folder in there.items() if folder is not None}, output)
    return results
