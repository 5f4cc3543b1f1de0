"""Votes counted and shown as in table 6: points by rank, with intervals, and how far the voters agree."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np

from colorflow.evaluation.report.grid import Cell, Grid, csv_text
from colorflow.evaluation.report.paper import USER_STUDY, USER_STUDY_SOURCE
from colorflow.evaluation.report.tables import label
from colorflow.evaluation.results import Bootstrap
from colorflow.evaluation.user_study.votes import CRITERIA, Ranking


@dataclass(frozen=True)
class Score:
    """Mean points of one method; the interval is None for a single voter."""

    points: float
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class Tally:
    """One criterion.

    Attributes:
        key: Of the criterion.
        title: As the paper's table 6 has it.
        scores: By method, in the study's order.
        rankings: Number of answers.
        voters: Number of people.
        kendall_w: Kendall's W, mean over the questions that several voters answered: 1 where all agree, 0 where
            their ranks cancel. None without such a question.
        spearman: Mean Spearman correlation of two voters on one question, in [-1, 1].
    """

    key: str
    title: str
    scores: Mapping[str, Score]
    rankings: int
    voters: int
    kendall_w: float | None
    spearman: float | None


def tally_votes(rankings: Sequence[Ranking], methods: Sequence[str], bootstrap: Bootstrap | None = None) -> list[Tally]:
    """Count votes.

    A method gets as many points as there are methods for the first rank, one less for each rank below,
    and 1 for the last: 5 to 1 for the paper's five methods. Intervals come by bootstrap over voters: answers of one
    person are alike. The questions are taken as they are; other pages may give other numbers.

    Args:
        rankings: As ``read_votes`` gives them.
        methods: Of the study, in table order.
        bootstrap: How the intervals are made.

    Returns:
        One tally a criterion that has votes, in the paper's order.
    """
    draws = bootstrap or Bootstrap()
    found = []
    for criterion in CRITERIA:
        chosen = [ranking for ranking in rankings if ranking.criterion == criterion.key]
        if not chosen:
            continue
        kendall_w, spearman = _agreement(chosen, methods)
        found.append(
            Tally(
                criterion.key,
                criterion.title,
                {method: _score(chosen, method, draws) for method in methods},
                len(chosen),
                len({ranking.voter for ranking in chosen}),
                kendall_w,
                spearman,
            )
        )
    return found


def _score(rankings: Sequence[Ranking], method: str, bootstrap: Bootstrap) -> Score:
    by_voter: dict[str, list[float]] = defaultdict(list)
    for ranking in rankings:
        by_voter[ranking.voter].append(float(len(ranking.methods) - ranking.methods.index(method)))
    interval = bootstrap.interval(by_voter)
    points = math.fsum(point for points in by_voter.values() for point in points) / len(rankings)
    return Score(points, (interval[0], interval[1]) if interval else None)


def _agreement(rankings: Sequence[Ranking], methods: Sequence[str]) -> tuple[float | None, float | None]:
    """Kendall's W, mean over the questions, and Spearman's correlation, mean over pairs of voters."""
    by_question: dict[str, list[list[int]]] = defaultdict(list)
    for ranking in rankings:
        by_question[ranking.question].append([ranking.methods.index(method) for method in methods])
    shared = [ranks for ranks in by_question.values() if len(ranks) > 1]
    if not shared:
        return None, None
    found = [correlations(ranks) for ranks in shared]
    concordance = [
        (1 + (len(ranks) - 1) * fmean(pairs)) / len(ranks) for ranks, pairs in zip(shared, found, strict=True)
    ]
    return fmean(concordance), fmean(value for pairs in found for value in pairs)


def correlations(ranks: Sequence[Sequence[int]]) -> list[float]:
    """Spearman's correlation of every two rankings of one question; without ties it is Pearson's of the ranks.

    With m voters and a mean correlation of r, Kendall's W is (1 + (m - 1) r) / m (Kendall and Gibbons 1990).

    Args:
        ranks: (voters, methods), each row a permutation of successive integers.
    """
    found = np.atleast_2d(np.corrcoef(ranks))[np.triu_indices(len(ranks), 1)]
    return [round(value, 12) + 0.0 for value in found.tolist()]  # neither -1e-17 nor -0.0 for none


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
