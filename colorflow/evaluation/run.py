"""generate -> score -> report in one call; each stage can be run again alone.

``<output>/predictions/<row name>/<style>/...`` (generate), ``<output>/scores/<style>/<row name>.jsonl`` and
``<output>/results.json`` (score), the tables, ``index.html`` and ``strip.png`` (report).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from colorflow.baselines import GrayCopy, PredictionsFolder
from colorflow.evaluation.benchmark import Benchmark, References, read_benchmark
from colorflow.evaluation.beside_paper import beside_grids
from colorflow.evaluation.generate import generate
from colorflow.evaluation.generation_folder import check_settings, page_settings
from colorflow.evaluation.grids import print_grid
from colorflow.evaluation.output_lock import locked
from colorflow.evaluation.paper import TABLES
from colorflow.evaluation.protocol import MetricSize, Protocol, describe_run
from colorflow.evaluation.report import write_report
from colorflow.evaluation.results import GRAY_COPY, Bootstrap, Results, build_results, read_results, write_results
from colorflow.evaluation.score import RowScores, check_pages, measure, score
from colorflow.evaluation.suite import MetricSettings, Suite, build_suite
from colorflow.evaluation.tables import print_table
from colorflow.metrics import SsimWindow
from colorflow.schema import Colorizer
from colorflow.utils.log import get_logger
from colorflow.utils.ranks import Ranks

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


class EvaluationError(ValueError):
    """An evaluation that cannot be run as asked; the message says what to do."""


@dataclass(frozen=True)
class MethodSpec:
    """One row of the table.

    Attributes:
        build: Makes the method; called once, only where pages are to be generated. Rows that share a
            model may share a cached ``build``. None for a folder of predictions.
        references: Which pool the row gets.
        fingerprint: Tells the method from others of its row name (digest of weights and options);
            pages made under another one are not reused.
        predictions: Folder ``<style>/<chapter>/NNN.png`` that another system made, in place of ``build``.
    """

    build: Callable[[], Colorizer] | None = None
    references: References = "own"
    fingerprint: str = ""
    predictions: Path | None = None

    def __post_init__(self) -> None:
        """A row comes from a method or from a folder."""
        if (self.build is None) == (self.predictions is None):
            raise EvaluationError("MethodSpec: expected either build or predictions, got both or neither")


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
        bootstrap: How intervals are made.
        report: Where results go, and a table of the paper to show beside them.
        progress: Show bars, and the table at the end.
        work: By how many processes, and how.

    Returns:
        What results.json holds, infinite values as floats; no rows after ``generate`` and on all but the first process.

    Raises:
        ValueError, RuntimeError: `EvaluationError` and the stages' own, each with a remedy.
    """
    _check_stage(stage)
    specs = _with_gray_copy(methods)
    protocol = Protocol(_size(metric_size), ssim_window)
    benchmark, output = read_benchmark(benchmark_root, verify=work.ranks.first), Path(output)
    folders = {(name, style): _folder(name, spec, output, style) for style in styles for name, spec in specs.items()}
    _check_inputs(specs, folders, benchmark, styles)
    suite = build_suite(metrics or MetricSettings()) if stage in ("all", "score") else Suite()
    draws, folder = bootstrap or Bootstrap(), Path(report.folder or output)
    run = work.ranks.agree("protocol", describe_run(protocol, benchmark, draws.describe(), suite, report.table))
    results: Results = {"protocol": run, "rows": [], "pages": []}
    with locked(output, work.ranks.first):
        _generate(specs, benchmark, output, stage, styles, base_seed, max_failures, progress, work)
        if stage in ("all", "score"):
            scores = _score(specs, folders, benchmark, protocol, suite, output, max_failures, progress, work.ranks)
            results = _tabulate(specs, scores, run, draws, folder) if work.ranks.first else results
        if stage in ("all", "report") and work.ranks.first:
            results = _report(benchmark, folders, folder)
    _print(results, shown=progress)
    return results


def _print(results: Results, *, shown: bool) -> None:
    """Print the tables, where there are any and they are to be shown."""
    if not shown or not results["rows"]:
        return
    print_table(results)
    for grid in beside_grids(results):
        print_grid(grid)


def _check_stage(stage: str) -> None:
    if stage not in get_args(Stage):
        raise EvaluationError(f"stage: expected one of {', '.join(get_args(Stage))}, got {stage!r}")


def _with_gray_copy(methods: Mapping[str, MethodSpec]) -> dict[str, MethodSpec]:
    """Check row names and put the gray copy first."""
    for name in methods:
        if not re.fullmatch(r"[\w][\w.+-]*", name):
            raise EvaluationError(f"row name: expected letters, digits and any of _ . + -, got {name!r}")
    gray = methods.get(GRAY_COPY, MethodSpec(build=GrayCopy))
    return {GRAY_COPY: gray, **{name: spec for name, spec in methods.items() if name != GRAY_COPY}}


def _size(size: Any) -> MetricSize:
    """Accept lists, as configs give them."""
    return "native" if size == "native" else (int(size[0]), int(size[1]))


def _folder(name: str, spec: MethodSpec, output: Path, style: str) -> PredictionsFolder:
    return PredictionsFolder(spec.predictions or output / "predictions" / name, style)


def _check_inputs(
    specs: Mapping[str, MethodSpec],
    folders: Mapping[tuple[str, str], PredictionsFolder],
    benchmark: Benchmark,
    styles: Sequence[str],
) -> None:
    """Fail now on what would fail after hours."""
    if not styles:
        raise EvaluationError(f"styles: expected at least one of {', '.join(benchmark.styles)}, got none")
    for style in styles:
        benchmark.check_style(style)
    for name, spec in specs.items():
        benchmark.check_references(spec.references)
        for style in styles:
            if spec.predictions:
                check_pages(folders[name, style], benchmark, method=name)


def _generate(
    specs: Mapping[str, MethodSpec],
    benchmark: Benchmark,
    output: Path,
    stage: Stage,
    styles: Sequence[str],
    base_seed: int,
    max_failures: float,
    progress: bool,
    work: Work,
) -> None:
    """Colour what the stage asks for, after a look at all folders."""

    def settings(name: str, style: str) -> dict[str, Any]:
        return page_settings(benchmark, name, style, specs[name].references, base_seed, specs[name].fingerprint)

    due = {name: spec for name, spec in specs.items() if _is_generated(name, spec, stage)}
    if work.ranks.first:  # all that differ at once, before the first page
        keys = [(name, style) for name in due for style in styles]
        check_settings({output / "predictions" / name / style: settings(name, style) for name, style in keys})
    for name, spec in due.items():
        assert spec.build is not None
        method = spec.build()
        for style in styles:
            report = generate(
                method,
                benchmark,
                output / "predictions",
                name=name,
                style=style,
                references=spec.references,
                base_seed=base_seed,
                fingerprint=spec.fingerprint,
                max_failures=max_failures,
                batch_size=work.batch_size,
                progress=progress,
                ranks=work.ranks,
            )
            logger.info("%s (%s): %d pages coloured, %d kept", name, style, report.written, report.reused)


def _is_generated(name: str, spec: MethodSpec, stage: Stage) -> bool:
    """Whether the stage colours a row; ``score`` alone still copies the gray pages, which needs no model."""
    return spec.build is not None and (stage in ("all", "generate") or (stage == "score" and name == GRAY_COPY))


def _score(
    specs: Mapping[str, MethodSpec],
    folders: Mapping[tuple[str, str], PredictionsFolder],
    benchmark: Benchmark,
    protocol: Protocol,
    suite: Suite,
    output: Path,
    max_failures: float,
    progress: bool,
    ranks: Ranks,
) -> dict[tuple[str, str], RowScores]:
    """Score every folder; a folder that another system made must be complete.

    Several processes measure pages first, then the first one reads what all have kept and makes the rows of it.
    """

    def options(name: str, style: str) -> dict[str, Any]:
        missing = 0.0 if specs[name].predictions else max_failures
        cache = output / "scores" / style / f"{name}.jsonl"
        return {"method": name, "suite": suite, "max_missing": missing, "cache": cache, "progress": progress}

    if ranks.world > 1:
        for key, folder in folders.items():
            measure(folder, benchmark, protocol, ranks, **options(*key))
        ranks.gather("measured")
    rows = folders if ranks.first else {}
    return {key: score(folder, benchmark, protocol, **options(*key)) for key, folder in rows.items()}


def _tabulate(
    specs: Mapping[str, MethodSpec],
    scores: Mapping[tuple[str, str], RowScores],
    run: Mapping[str, Any],
    draws: Bootstrap,
    output: Path,
) -> Results:
    results = build_results(
        [page for row in scores.values() for page in row.pages],
        run,
        draws,
        sets={key: row.sets for key, row in scores.items()},
        chapters={key: row.chapters for key, row in scores.items()},
    )
    for row in results["rows"]:
        row["fingerprint"] = specs[row["method"]].fingerprint
    write_results(results, output / "results.json")
    return results


def _report(benchmark: Benchmark, folders: Mapping[tuple[str, str], PredictionsFolder], output: Path) -> Results:
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
