"""Votes counted as in table 6: points by rank, with intervals, and how far the voters agree."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from colorflow.evaluation.results import Bootstrap
from colorflow.evaluation.user_study.criteria import CRITERIA
from colorflow.evaluation.user_study.votes import Ranking


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
