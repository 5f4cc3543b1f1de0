"""``python -m colorflow.evaluation.user_study build results=DIR output=DIR`` and ``... tally VOTES.json...``."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from colorflow.baselines.predictions import PredictionsError
from colorflow.evaluation.bench.benchmark import BenchmarkError
from colorflow.evaluation.results import ResultsError
from colorflow.evaluation.user_study.build import StudyOptions, build_study
from colorflow.evaluation.user_study.tally import csv_study, latex_study, markdown_study, tally_votes
from colorflow.evaluation.user_study.votes import KEY_FILE, StudyError, read_key, read_votes
from colorflow.utils.files import write_text_atomic


class _Parser(argparse.ArgumentParser):
    """Options are given as Hydra's are, ``name=value``; errors are one line."""

    def error(self, message: str) -> NoReturn:
        raise StudyError(f"{message}; see --help")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0, or 1 after an error on stderr."""
    words = sys.argv[1:] if arguments is None else arguments
    try:
        options = _parser().parse_args([f"--{word}" if re.match(r"[a-z]+=", word) else word for word in words])
        {"build": _build, "tally": _tally}[options.command](options)
    except (StudyError, ResultsError, BenchmarkError, PredictionsError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> _Parser:
    parser = _Parser(
        prog="python -m colorflow.evaluation.user_study",
        description="A blind user study of an evaluation's pictures, and its count (table 6 of the paper). "
        "Options may be given without dashes: build results=DIR output=DIR.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build", help="make the page that is handed out")
    build.add_argument("--results", type=Path, required=True, help="folder of an evaluation, with its report")
    build.add_argument("--output", type=Path, required=True, help="gets site/ (hand it out: a server, or a zip that "
                       "opens from a file) and key.json (keep it)")  # fmt: skip
    build.add_argument("--benchmark", type=Path, help="where the benchmark was moved since the report")
    build.add_argument("--methods", default="", help="rows to rank, a,b,c, 2 to 9; all but the gray copy otherwise")
    build.add_argument("--style", default="", help="input style; the results' first otherwise")
    build.add_argument("--questions", type=_count, default=20, help="groups of pages, each judged by three criteria")
    build.add_argument("--pages", type=_count, default=3, help="successive pages shown for consistency")
    build.add_argument("--title", default=StudyOptions.title, help="heading")
    tally = commands.add_parser("tally", help="count the votes that came back")
    tally.add_argument("votes", type=Path, nargs="*", metavar="VOTES.json")
    tally.add_argument("--key", type=Path, help="key.json; otherwise beside the votes or one folder above")
    tally.add_argument("--output", type=Path, help="also write study.md, study.tex and study.csv there")
    return parser


def _build(options: argparse.Namespace) -> None:
    methods = tuple(filter(None, options.methods.split(",")))
    asked = StudyOptions(methods, options.style, options.questions, options.pages, options.title)
    page = build_study(options.results, options.output, asked, benchmark=options.benchmark)
    print(f"hand out: {page.parent}\nkeep:     {page.parent.parent / KEY_FILE}")


def _tally(options: argparse.Namespace) -> None:
    key = read_key(options.key or _find_key(options.votes))
    tallies = tally_votes(read_votes(options.votes, key), key["methods"])
    if not tallies:
        raise StudyError(
            f"expected answers in {len(options.votes)} files, got none; were they saved before the first question?"
        )
    table = markdown_study(tallies, key["methods"])
    if options.output:
        write_text_atomic(table, options.output / "study.md")
        write_text_atomic(latex_study(tallies, key["methods"]), options.output / "study.tex")
        write_text_atomic(csv_study(tallies, key["methods"]), options.output / "study.csv")
    print(table, end="")


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number of at least 1, got {text!r}")
    return int(text)


def _find_key(votes: Sequence[Path]) -> Path:
    """Beside the first file of votes, or one folder above it."""
    folder = votes[0].absolute().parent if votes else Path.cwd()
    return next((path for path in (folder / KEY_FILE, folder.parent / KEY_FILE) if path.is_file()), folder / KEY_FILE)


if __name__ == "__main__":
    sys.exit(main())
