"""Table 6: criteria as rows, methods as columns, best in bold; Markdown, LaTeX, CSV."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from colorflow.evaluation.report.grid import Cell, Grid, csv_text
from colorflow.evaluation.report.paper import USER_STUDY, USER_STUDY_SOURCE
from colorflow.evaluation.report.tables import label
from colorflow.evaluation.user_study.tally import Score, Tally


def markdown_study(tallies: Sequence[Tally], methods: Sequence[str]) -> str:
    """The table with intervals, how far the voters agree, and the paper's rows where the points mean the same."""
    parts = [_grid(tallies, methods).markdown(), "\n".join(f"- {line}" for line in agreement(tallies)) + "\n"]
    if len(methods) == len(USER_STUDY["aesthetic"]):
        parts.append(_paper_grid(tallies).markdown())
    return "\n".join(parts)


def latex_study(tallies: Sequence[Tally], methods: Sequence[str]) -> str:
    """The table for booktabs, best in bold."""
    grid = _grid(tallies, methods)
    rows = tuple((row[0], *row[2:]) for row in grid.rows)
    return replace(grid, headings=("Criterion", *grid.headings[2:]), rows=rows).latex()


def csv_study(tallies: Sequence[Tally], methods: Sequence[str]) -> str:
    """One line a criterion and method, full precision."""
    rows: list[tuple[object, ...]] = [
        ("criterion", "method", "points", "low", "high", "rankings", "voters", "kendall_w", "spearman")
    ]
    for tally in tallies:
        agree = ["" if value is None else value for value in (tally.kendall_w, tally.spearman)]
        for name in methods:
            score = tally.scores[name]
            ends = score.interval or ("", "")
            rows.append((tally.key, name, score.points, *ends, tally.rankings, tally.voters, *agree))
    return csv_text(rows)


def caption(tallies: Sequence[Tally], methods: Sequence[str]) -> str:
    """What the numbers are."""
    total, voters = sum(tally.rankings for tally in tallies), max(tally.voters for tally in tallies)
    text = f"Mean points, {len(methods)} for rank 1 to 1 for rank {len(methods)}; {total} rankings by {voters} voters"
    if voters < 2:
        return f"{text}; no interval from a single voter."
    return f"{text}, in brackets 95% intervals by bootstrap over voters, for these pages."


def agreement(tallies: Sequence[Tally]) -> list[str]:
    """One line a criterion on how alike the voters ranked."""
    lines = []
    for tally in tallies:
        if tally.kendall_w is None or tally.spearman is None:
            lines.append(f"{tally.title}: no question has answers of two voters, so their agreement is not known")
        else:
            lines.append(f"{tally.title}: Kendall's W {tally.kendall_w:.3f}, mean Spearman {tally.spearman:+.3f}")
    return lines


def _grid(tallies: Sequence[Tally], methods: Sequence[str]) -> Grid:
    return Grid(
        headings=("criterion", "rankings", *map(label, methods)),
        rows=tuple(
            (tally.title, str(tally.rankings), *(_cell(tally, tally.scores[name]) for name in methods))
            for tally in tallies
        ),
        texts=1,
        note=caption(tallies, methods),
    )


def _cell(tally: Tally, score: Score) -> Cell:
    best = max(other.points for other in tally.scores.values())
    note = f"[{score.interval[0]:.3f}, {score.interval[1]:.3f}]" if score.interval else ""
    return Cell(f"{score.points:.3f}", score.points == best, note)


def _paper_grid(tallies: Sequence[Tally]) -> Grid:
    names = list(USER_STUDY["aesthetic"])
    return Grid(
        headings=("as printed", *(f"{name} (paper)" for name in names)),
        rows=tuple((tally.title, *(f"{USER_STUDY[tally.key][name]:.3f}" for name in names)) for tally in tallies),
        texts=1,
        note=f"As printed in {USER_STUDY_SOURCE}: other pages, other voters.",
    )
