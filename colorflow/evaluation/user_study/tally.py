"""Votes counted as in table 6: points by rank, with intervals, and how far the voters agree."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean

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
    """Kendall's W and mean Spearman correlation, over questions; there are no ties."""
    by_question: dict[str, list[list[int]]] = defaultdict(list)
    for ranking in rankings:
        by_question[ranking.question].append([ranking.methods.index(method) for method in methods])
    shared = [ranks for ranks in by_question.values() if len(ranks) > 1]
    if not shared:
        return None, None
    pairs = [pair for ranks in shared for pair in combinations(ranks, 2)]
    return fmean(kendall_w(ranks) for ranks in shared), fmean(spearman(*pair) for pair in pairs)


def kendall_w(ranks: Sequence[Sequence[int]]) -> float:
    """Kendall's coefficient of concordance: 12 S / (m^2 (n^3 - n)), S the squared deviations of the rank sums.

    Args:
        ranks: (voters, methods), each row a permutation of successive integers.
    """
    voters, methods = len(ranks), len(ranks[0])
    sums = [sum(column) for column in zip(*ranks, strict=True)]
    middle = fmean(sums)
    return 12 * math.fsum((total - middle) ** 2 for total in sums) / (voters**2 * (methods**3 - methods))


def spearman(one: Sequence[int], other: Sequence[int]) -> float:
    """Spearman's correlation of two rankings without ties: 1 - 6 sum d^2 / (n^3 - n)."""
    count = len(one)
    return 1 - 6 * sum((a - b) ** 2 for a, b in zip(one, other, strict=True)) / (count**3 - count)
