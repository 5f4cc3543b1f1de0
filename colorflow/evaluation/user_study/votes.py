"""The files that voters send back, read with the key and checked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import yaml

KEY_FILE = "key.json"
VERSION = 1


@dataclass(frozen=True)
class Criterion:
    """One question.

    Attributes:
        key: Name in votes and tables.
        title: As the paper's table 6 has it.
        question: What the voter reads.
        shows: ``page``: one page of each candidate; ``sequence``: several pages in a row.
        beside: What stands beside the candidates: nothing, the original page, or the reference pages.
    """

    key: str
    title: str
    question: str
    shows: Literal["page", "sequence"]
    beside: Literal["", "original", "references"]


_ASKED = files("colorflow").joinpath("assets/report/criteria.yaml").read_text(encoding="utf-8")
CRITERIA = tuple(Criterion(**criterion) for criterion in yaml.safe_load(_ASKED))
"""The three criteria of table 6."""


class StudyError(ValueError):
    """A study that cannot be built or counted; the message says what to do."""


@dataclass(frozen=True)
class Ranking:
    """One answer: the methods from best to worst."""

    voter: str
    question: str
    criterion: str
    methods: tuple[str, ...]


def read_key(path: Path) -> dict[str, Any]:
    """Read ``key.json``.

    Raises:
        StudyError: For a file that is missing or of another form.
    """
    if not path.is_file():
        raise StudyError(f"expected the study's key at {path}, found none; give key=FILE, the {KEY_FILE} beside site/")
    key = _load(path)
    if key.get("version") != VERSION or not {"study", "methods", "questions"} <= set(key):
        raise StudyError(f"{path}: expected a key of version {VERSION}, got keys {sorted(key)}")
    return key


def read_votes(paths: Sequence[Path], key: dict[str, Any]) -> list[Ranking]:
    """Read files of votes.

    A voter who saved more than once has several files; the one with the most answers counts if it holds the others'.

    Args:
        paths: Files.
        key: As ``read_key`` gives it.

    Raises:
        StudyError: For no files, files of another study, answers that rank other candidates than were shown, and
            different answers of one voter.
    """
    if not paths:
        raise StudyError("expected files of votes, got none; each voter sends back the JSON file that the page saves")
    by_voter: dict[str, tuple[Path, dict[tuple[str, str], Ranking]]] = {}
    for path in paths:
        voter, answers = _read_file(path, key)
        if voter in by_voter:
            before, known = by_voter[voter]
            small, large = sorted((known, answers), key=len)
            if any(large.get(name) != answer for name, answer in small.items()):
                raise StudyError(f"{before} and {path}: different answers of one voter ({voter}); remove one of them")
            answers = large
        by_voter[voter] = (path, answers)
    return [ranking for _, answers in by_voter.values() for ranking in answers.values()]


def _read_file(path: Path, key: dict[str, Any]) -> tuple[str, dict[tuple[str, str], Ranking]]:
    votes = _load(path)
    if votes.get("study") != key["study"]:
        raise StudyError(f"{path}: expected votes of study {key['study']}, got {votes.get('study')}; wrong key or file")
    try:
        voter = str(votes["voter"])
        rankings = [_ranking(voter, answer, key) for answer in votes["rankings"]]
    except (KeyError, TypeError, ValueError) as error:
        raise StudyError(f"{path}: not as the page saves votes ({error!r}); ask the voter to save again") from error
    return voter, {(ranking.question, ranking.criterion): ranking for ranking in rankings}


def _ranking(voter: str, answer: dict[str, Any], key: dict[str, Any]) -> Ranking:
    codes = key["questions"][answer["question"]]["codes"]
    if sorted(answer["order"]) != sorted(codes):
        raise ValueError(f"{answer['question']}: expected each of {len(codes)} candidates once, got {answer['order']}")
    if answer["criterion"] not in {criterion.key for criterion in CRITERIA}:
        raise ValueError(f"unknown criterion {answer['criterion']!r}")
    return Ranking(voter, answer["question"], answer["criterion"], tuple(codes[code] for code in answer["order"]))


def _load(path: Path) -> dict[str, Any]:
    try:
        loaded = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StudyError(f"{path}: expected a JSON file, got {error}") from error
    if not isinstance(loaded, dict):
        raise StudyError(f"{path}: expected a JSON object, got {type(loaded).__name__}")
    return loaded
