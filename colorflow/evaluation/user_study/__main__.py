"""``python -m colorflow.evaluation.user_study build results=DIR output=DIR`` and ``... tally VOTES.json...``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from colorflow.baselines.predictions import PredictionsError
from colorflow.evaluation.bench.benchmark import BenchmarkError
from colorflow.evaluation.results import ResultsError
from colorflow.evaluation.user_study.build import StudyOptions, build_study
from colorflow.evaluation.user_study.tables import csv_study, latex_study, markdown_study
from colorflow.evaluation.user_study.tally import tally_votes
from colorflow.evaluation.user_study.votes import KEY_FILE, StudyError, read_key, read_votes
from colorflow.utils.files import write_text_atomic

_USAGE = """
build results=DIR output=DIR
    results    folder of an evaluation, with its report
    output     gets site/ (hand it out: a server, or a zip that opens from a file) and key.json (keep it)
    methods=a,b,c   rows to rank, 2 to 9; all but the gray copy otherwise
    style=gray      input style; the results' first otherwise
    questions=20    groups of pages, each judged by three criteria
    pages=3         successive pages shown for consistency
    title=TEXT      heading
    benchmark=DIR   where the benchmark was moved since the report

tally VOTES.json...
    key=FILE        key.json; otherwise beside the votes or one folder above
    output=DIR      also write study.md, study.tex and study.csv
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0, or 1 after an error on stderr."""
    parser = argparse.ArgumentParser(
        prog="python -m colorflow.evaluation.user_study",
        description="A blind user study of an evaluation's pictures, and its count (table 6 of the paper).",
        epilog=_USAGE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=("build", "tally"))
    parser.add_argument("words", nargs="*", metavar="KEY=VALUE or VOTES.json")
    options = parser.parse_args(arguments)
    try:
        {"build": _build, "tally": _tally}[options.command](options.words)
    except (StudyError, ResultsError, BenchmarkError, PredictionsError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _build(words: Sequence[str]) -> None:
    known: dict[str, Callable[[str], Any]] = {
        "results": Path, "output": Path, "benchmark": Path, "methods": lambda text: tuple(text.split(",")),
        "style": str, "title": str, "questions": _count, "pages": _count,
    }  # fmt: skip
    settings, rest = _settings(words, known)
    if rest or not {"results", "output"} <= set(settings):
        raise StudyError(
            f"build: expected results=DIR output=DIR and options as KEY=VALUE, got {list(words)}; see --help"
        )
    places = {name: settings.pop(name, None) for name in ("results", "output", "benchmark")}
    page = build_study(places["results"], places["output"], StudyOptions(**settings), benchmark=places["benchmark"])
    print(f"hand out: {page.parent}\nkeep:     {page.parent.parent / KEY_FILE}")


def _tally(words: Sequence[str]) -> None:
    settings, rest = _settings(words, {"key": Path, "output": Path})
    votes = [Path(word) for word in rest]
    key = read_key(settings.get("key") or _find_key(votes))
    tallies = tally_votes(read_votes(votes, key), key["methods"])
    if not tallies:
        raise StudyError(
            f"expected answers in {len(votes)} files, got none; were they saved before the first question?"
        )
    table = markdown_study(tallies, key["methods"])
    if output := settings.get("output"):
        write_text_atomic(table, output / "study.md")
        write_text_atomic(latex_study(tallies, key["methods"]), output / "study.tex")
        write_text_atomic(csv_study(tallies, key["methods"]), output / "study.csv")
    print(table, end="")


def _settings(words: Sequence[str], known: dict[str, Callable[[str], Any]]) -> tuple[dict[str, Any], list[str]]:
    """Part KEY=VALUE of the known keys from other words; a path may hold a sign of equality."""
    settings, rest = {}, []
    for word in words:
        name, sign, value = word.partition("=")
        if sign and name in known:
            settings[name] = known[name](value)
        elif sign and name.isidentifier():
            raise StudyError(f"{word}: expected one of {', '.join(f'{one}=' for one in known)}; see --help")
        else:
            rest.append(word)
    return settings, rest


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise StudyError(f"expected a number of at least 1, got {text!r}")
    return int(text)


def _find_key(votes: Sequence[Path]) -> Path:
    """Beside the first file of votes, or one folder above it."""
    folder = votes[0].absolute().parent if votes else Path.cwd()
    return next((path for path in (folder / KEY_FILE, folder.parent / KEY_FILE) if path.is_file()), folder / KEY_FILE)


if __name__ == "__main__":
    sys.exit(main())
