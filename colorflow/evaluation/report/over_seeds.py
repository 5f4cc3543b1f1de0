"""One table of the paper over several seeds of training: what another seed would change is in its intervals.

``python -m colorflow.evaluation.report.over_seeds FOLDER FOLDER ...`` reads the reports of one table, a folder a seed,
as ``python evaluate.py -m experiment=table2 trainings=toon trainings.seed=0,1,2`` leaves them.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from scipy.stats import t as student

from colorflow.evaluation.report.beside_paper import Change, beside_paper, change_grid, changes
from colorflow.evaluation.report.grid import Grid
from colorflow.evaluation.report.paper import FULL_MODEL, PAPER_METRICS, paper_table
from colorflow.evaluation.report.tables import label
from colorflow.evaluation.results import Results, ResultsError, read_results
from colorflow.metrics import find_metric

CONFIDENCE = 0.95


def changes_over_seeds(seeds: Sequence[Results]) -> list[Change]:
    """Each row against the full model: the mean over seeds, with Student's interval of that mean.

    Args:
        seeds: Results of one table on one benchmark, at least two.

    Returns:
        As ``changes`` gives them, of the rows that every seed has; intervals are over seeds.

    Raises:
        ResultsError: For fewer than two, and for results of different tables, protocols or benchmarks.
    """
    _check_alike(seeds)
    found = [{(item.row.method, item.style, item.metric): item for item in changes(seed)} for seed in seeds]
    shared = [key for key in found[0] if all(key in others for others in found)]
    return [_over_seeds([seed[key] for seed in found]) for key in shared]


def seed_grids(seeds: Sequence[Results]) -> list[Grid]:
    """Mean and range of every row beside the printed table, then the changes; errors as ``changes_over_seeds``."""
    moved = changes_over_seeds(seeds)
    table = paper_table(seeds[0]["protocol"])
    assert table is not None
    rows = []
    for pairs in zip(*map(beside_paper, seeds), strict=True):
        printed = pairs[0].paper.metrics
        cells = (_cell(name, [pair.ours.get(name) for pair in pairs], printed[name]) for name in PAPER_METRICS)
        rows.append((*pairs[0].paper.settings, *cells))
    levels = Grid(
        title=f"Table {table.number}: {table.title}; ours, mean of {len(seeds)} seeds and their range / the paper's",
        note="Directions compare, levels do not: the paper's pages were never released.",
        headings=(*table.headings, *(find_metric(name).heading for name in PAPER_METRICS)),
        rows=tuple(rows),
        texts=len(table.headings),
    )
    title = f"Change against {label(FULL_MODEL, seeds[0])} of the same seed"
    note = f"Mean of {len(seeds)} seeds of training; in brackets Student's interval of that mean, {CONFIDENCE:.0%}."
    return [levels, change_grid(moved, seeds[0], title, note)]


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Student's interval of the mean of at least two values."""
    half = student.ppf((1 + CONFIDENCE) / 2, len(values) - 1) * stdev(values) / math.sqrt(len(values))
    return fmean(values) - half, fmean(values) + half


def _over_seeds(items: Sequence[Change]) -> Change:
    values = [item.ours for item in items]
    return replace(items[0], ours=fmean(values), interval=interval(values))


def _cell(name: str, values: Iterable[float | None], printed: float) -> str:
    shown = find_metric(name).format
    ours = [value for value in values if value is not None]
    own = f"{shown(fmean(ours))} ({shown(min(ours))} to {shown(max(ours))})" if ours else "-"
    return f"{own} / {shown(printed)}"


def _check_alike(seeds: Sequence[Results]) -> None:
    if len(seeds) < 2:
        raise ResultsError(f"expected reports of at least two seeds, got {len(seeds)}; train with seed=1 and seed=2")
    told = [_told(seed["protocol"]) for seed in seeds]
    if told[0][0] is None or any(other != told[0] for other in told[1:]):
        raise ResultsError(
            "expected reports of one of the paper's tables, all on one benchmark under one protocol, got (table, "
            f"protocol, benchmark) {', '.join(map(str, told))}; make them by one command"
        )


def _told(protocol: Mapping[str, Any]) -> tuple[Any, ...]:
    return protocol["paper_table"], protocol.get("sha256"), protocol["benchmark"].get("sha256")


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; what the user can mend ends in one line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, help="folders with results.json, one a seed")
    parser.add_argument("--markdown", type=Path, help="write the tables there, too")
    options = parser.parse_args(arguments)
    try:
        grids = seed_grids([read_results(folder / "results.json") for folder in options.folders])
    except ResultsError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    for grid in grids:
        grid.print()
    if options.markdown is not None:
        options.markdown.write_text("\n".join(grid.markdown() for grid in grids), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
