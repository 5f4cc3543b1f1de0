"""The user study: what its site gives away, and how votes are checked and counted."""

import csv
import io
import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy import stats
from tiny.benchmark import SIZE, Tint, tiny_benchmark

from colorflow.evaluation.run import evaluate
from colorflow.evaluation.user_study.__main__ import main
from colorflow.evaluation.user_study.build import StudyOptions, build_study
from colorflow.evaluation.user_study.tally import csv_study, latex_study, markdown_study, tally_votes
from colorflow.evaluation.user_study.votes import Ranking, StudyError, read_key, read_votes
from colorflow.methods import MethodSpec

TINTS = {"colorflow": 5, "someone_else": 60, "third": 30}


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evaluation")
    root = tiny_benchmark(folder, {"a": 4, "b": 3, "c": 2}).root
    methods = {name: MethodSpec(build=lambda amount=amount: Tint(amount)) for name, amount in TINTS.items()}
    evaluate(methods, root, folder / "out", metric_size="native", progress=False)
    return folder / "out"


@pytest.fixture(scope="module")
def study(evaluation: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    build_study(evaluation, folder, StudyOptions(pages=2, title="Rank <these>"), progress=False)
    return folder


def _votes(key: dict[str, Any], voter: str, best: tuple[str, ...], criteria: tuple[str, ...] = ("aesthetic",)) -> dict:
    rankings = []
    for name, question in key["questions"].items():
        code_of = {method: code for code, method in question["codes"].items()}
        rankings += [{"question": name, "criterion": one, "order": [code_of[m] for m in best]} for one in criteria]
    return {"version": 1, "study": key["study"], "voter": voter, "rankings": rankings}


def _write(votes: dict, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(votes))
    return path


def test_the_site_tells_no_method_and_no_chapter(study):
    source = (study / "site" / "index.html").read_text()
    for word in (*TINTS, "Gray copy", "gray_copy", "ColorFlow,"):
        assert word not in source
    assert "Rank &lt;these&gt;" in source
    key = read_key(study / "key.json")
    codes = [code for question in key["questions"].values() for code in question["codes"]]
    assert len(set(codes)) == len(codes) == 4 * 3  # a method has another code in every question
    names = [path.name for path in (study / "site").rglob("*") if path.is_file()]
    assert not [name for name in names if any(word in name for word in TINTS)]
    assert "key.json" not in names
    by_code = [question["codes"] for question in key["questions"].values()]
    orders = {tuple(codes[code] for code in sorted(codes)) for codes in by_code}
    assert orders != {tuple(TINTS)}  # the page lists codes sorted: not in the methods' order everywhere


def test_pictures_are_those_of_the_key_at_one_size_without_metadata(study, evaluation):
    key = read_key(study / "key.json")
    assert [(one["chapter"], one["pages"]) for one in key["questions"].values()] == [
        ("a", ["000", "001"]), ("a", ["002", "003"]), ("b", ["000", "001"]), ("c", ["000", "001"])
    ]  # fmt: skip
    for name, question in key["questions"].items():
        folder = study / "site" / "pictures" / name
        written = [(folder / f"{code}-page.webp").stat().st_mtime_ns for code in sorted(question["codes"])]
        assert written == sorted(written)  # the order of files in time is that of the codes
        for code, method in question["codes"].items():
            page = Image.open(folder / f"{code}-page.webp")
            own = evaluation / "predictions" / method / "gray" / question["chapter"] / f"{question['pages'][1]}.png"
            difference = np.abs(np.asarray(page, float) - np.asarray(Image.open(own), float)).mean()
            assert difference < 6, (name, method)  # of another method it is 8 and more
            assert page.size == SIZE
            assert not page.getexif()
            assert Image.open(folder / f"{code}-sequence.webp").size == (2 * SIZE[0] + 16, SIZE[1])
        assert (folder / "original.webp").is_file()
        assert (folder / "references.webp").is_file()


def test_a_study_has_codes_of_its_own_is_not_overwritten_and_needs_the_report(evaluation, study, tmp_path):
    build_study(evaluation, tmp_path, StudyOptions(pages=2), progress=False)
    one, other = read_key(study / "key.json"), read_key(tmp_path / "key.json")
    assert one["study"] != other["study"]
    assert not set(one["questions"]["q001"]["codes"]) & set(other["questions"]["q001"]["codes"])
    with pytest.raises(StudyError, match="holds a study already"):
        build_study(evaluation, study, progress=False)
    (tmp_path / "results.json").write_bytes((evaluation / "results.json").read_bytes())
    with pytest.raises(StudyError, match="run stage=report first"):
        build_study(tmp_path, tmp_path / "study", progress=False)


def test_points_are_those_of_table_6():
    methods = list("vwxyz")
    orders = {("p", "q1"): "vwxyz", ("p", "q2"): "wvxyz", ("q", "q1"): "vxwzy"}
    rankings = [Ranking(voter, question, "aesthetic", tuple(order)) for (voter, question), order in orders.items()]
    (tally,) = tally_votes(rankings, methods)
    points = {name: score.points for name, score in tally.scores.items()}
    assert points == pytest.approx({"v": 14 / 3, "w": 12 / 3, "x": 10 / 3, "y": 5 / 3, "z": 4 / 3})
    assert (tally.rankings, tally.voters) == (3, 2)
    low, high = tally.scores["v"].interval or (0, 0)
    assert (low, high) == (4.5, 5.0)  # voters are drawn whole: means of p alone, of q alone, of both
    assert tally_votes(rankings[:2], methods)[0].scores["v"].interval is None
    assert tally_votes(rankings[:2], methods)[0].kendall_w is None


def test_agreement_is_that_of_scipy():
    random = np.random.default_rng(0)
    ranks = [list(map(int, random.permutation(5))) for _ in range(7)]
    friedman = stats.friedmanchisquare(*np.transpose(ranks)).statistic
    orders = [tuple("abcde"[method] for method in np.argsort(row)) for row in ranks]
    rankings = [Ranking(str(voter), "q", "aesthetic", order) for voter, order in enumerate(orders)]
    (tally,) = tally_votes(rankings, list("abcde"))
    assert tally.kendall_w == pytest.approx(friedman / (7 * 4), abs=1e-12)
    pairs = [stats.spearmanr(*pair).statistic for pair in combinations(ranks, 2)]
    assert tally.spearman == pytest.approx(np.mean(pairs), abs=1e-12)
    for others, w, correlation in ((["abc", "abc"], 1, 1), (["cba"], 0, -1), (["bca", "cab"], 0, -0.5)):
        rankings = [Ranking(str(n), "q", "aesthetic", tuple(order)) for n, order in enumerate(["abc", *others])]
        (tally,) = tally_votes(rankings, list("abc"))
        assert (tally.kendall_w, tally.spearman) == (pytest.approx(w), pytest.approx(correlation))


def test_votes_are_read_checked_and_counted_once(study, tmp_path):
    key = read_key(study / "key.json")
    order = ("someone_else", "third", "colorflow")
    whole = _write(_votes(key, "v1", order), tmp_path / "whole.json")
    partial = _votes(key, "v1", order)
    partial["rankings"] = partial["rankings"][:2]
    early = _write(partial, tmp_path / "early.json")
    for paths in ([whole, early], [early, whole]):
        rankings = read_votes(paths, key)
        assert [(one.voter, one.methods) for one in rankings] == [("v1", order)] * 4
    changed = _write(_votes(key, "v1", tuple(reversed(order))), tmp_path / "changed.json")
    with pytest.raises(StudyError, match=r"different answers of one voter \(v1\)"):
        read_votes([whole, changed], key)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda votes: votes.update(study="other"), "expected votes of study"),
        (lambda votes: votes["rankings"][0]["order"].pop(), "each of 3 candidates once"),
        (lambda votes: votes["rankings"][0]["order"].__setitem__(0, votes["rankings"][0]["order"][1]), "once"),
        (lambda votes: votes["rankings"][0].update(question="q999"), "ask the voter to save again"),
        (lambda votes: votes["rankings"][0].update(criterion="speed"), "unknown criterion 'speed'"),
        (lambda votes: votes.pop("rankings"), "not as the page saves votes"),
    ],
)
def test_votes_that_cannot_be_counted_are_refused(study, tmp_path, change, message):
    key = read_key(study / "key.json")
    votes = _votes(key, "v", tuple(TINTS))
    change(votes)
    with pytest.raises(StudyError, match=message):
        read_votes([_write(votes, tmp_path / "votes.json")], key)


def test_the_table_marks_the_best_and_the_papers_stands_beside_five_methods():
    methods = ["v&1", "w", "x", "y", "z"]
    rankings = [Ranking(voter, "q", one, tuple(methods)) for voter in "ab" for one in ("aesthetic", "consistency")]
    tallies = tally_votes(rankings, methods)
    table = markdown_study(tallies, methods)
    assert "| Aesthetic quality | 2 | **5.000** [5.000, 5.000] | 4.000 [4.000, 4.000] |" in table
    assert "Kendall's W 1.000, mean Spearman +1.000" in table
    assert "| Consistency in sequences | 4.538 | 3.399 | 3.215 | 2.540 | 1.308 |" in table
    assert "4 rankings by 2 voters" in table
    latex = latex_study(tallies, methods)
    assert "V\\&1" in latex
    assert latex.count("\\textbf{5.000}") == 2
    lines = list(csv.DictReader(io.StringIO(csv_study(tallies, methods))))
    assert [float(line["points"]) for line in lines] == [5, 4, 3, 2, 1] * 2
    four = tally_votes([Ranking("a", "q", "aesthetic", tuple("wxyz"))], list("wxyz"))
    assert "(paper)" not in markdown_study(four, list("wxyz"))
    assert "no interval from a single voter" in markdown_study(four, list("wxyz"))


def test_commands(evaluation, tmp_path, capsys):
    output = tmp_path / "study"
    words = ["build", f"results={evaluation}", f"output={output}", "methods=third,colorflow", "questions=2", "pages=1"]
    assert main(words) == 0
    assert "key.json" in capsys.readouterr().out
    key = read_key(output / "key.json")
    assert key["methods"] == ["third", "colorflow"]
    assert len(key["questions"]) == 2
    votes = {voter: _votes(key, voter, ("third", "colorflow")) for voter in ("a", "b")}
    paths = [_write(vote, output / "votes" / f"{voter}.json") for voter, vote in votes.items()]
    assert main(["tally", *map(str, paths), f"output={tmp_path / 'table'}"]) == 0
    assert re.search(r"\| Aesthetic quality \| 4 \| \*\*2\.000\*\*", capsys.readouterr().out)
    assert {path.name for path in (tmp_path / "table").iterdir()} == {"study.md", "study.tex", "study.csv"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["build", "results=x"], "arguments are required: --output; see --help"),
        (["build", "results=R", "output=O", "colour=red"], "unrecognized arguments: --colour=red; see --help"),
        (["build", "results=R", "output=O", "pages=0"], "at least 1, got '0'"),
        (["build", "results=R", "output=O", "methods=colorflow"], "expected 2 to 9 to rank, got 1"),
        (["build", "results=R", "output=O", "methods=a,b"], r"got \['a', 'b'\]"),
        (["build", "results=R", "output=O", "style=sketch"], r"the results' \(gray\), got 'sketch'"),
        (["build", "results=R", "output=O", "pages=9"], "expected a chapter with 9 pages"),
        (["build", "results=O", "output=O"], "run stage=score first"),
        (["tally", "O/votes.json"], "give key=FILE"),
    ],
)
def test_errors_end_in_one_line(evaluation, tmp_path, capsys, words, message):
    places = {"R": str(evaluation), "O": str(tmp_path / "out")}
    assert main([re.sub(r"\b[RO]\b", lambda found: places[found.group()], word) for word in words]) == 1
    error = capsys.readouterr().err
    assert re.search(message, error), error
    assert error.count("\n") == 1
