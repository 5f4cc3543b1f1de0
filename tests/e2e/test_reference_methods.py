"""Systems that look at references, through evaluate.py: a row each, on a tiny benchmark; mistakes end in one line."""

import json
import shlex
import sys

import pytest
from tiny.baselines import small_networks, write_ebmc, write_screens
from tiny.benchmark import tiny_benchmark
from tiny.runs import call_main

import evaluate


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory):
    return tiny_benchmark(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module", autouse=True)
def weights(tmp_path_factory):
    """Files of small networks by method, and rows made of such networks."""
    root = tmp_path_factory.mktemp("weights")
    with small_networks():
        yield {"ebmc": write_ebmc(root / "074000_gray.pt"), "screenvae": write_screens(root)}


def run(benchmark, output, *options):
    where = ["benchmark=folder", f"benchmark.root={benchmark.root}", f"output={output}"]
    return call_main(evaluate, *where, "metrics=pixels", "metrics.metric_size=native", *options)


def results(output):
    return {row["method"]: row for row in json.loads((output / "results.json").read_text())["rows"]}


@pytest.mark.parametrize("method", ["ebmc", "screenvae", "color_transfer", "patch_copy"])
def test_a_method_is_a_row(benchmark, weights, tmp_path, method):
    options = [f"method.weights={weights[method]}", "retrieval=hog"] if method in weights else []
    assert run(benchmark, tmp_path, f"method={method}", *options) is None
    row = results(tmp_path)[method]
    assert row["n"] == 5
    assert row["metrics"]["ciede2000"] != results(tmp_path)["gray_copy"]["metrics"]["ciede2000"]
    assert (tmp_path / "index.html").is_file()
    folder = tmp_path / "predictions" / method / "gray"
    assert len(json.loads((folder / "generation.json").read_text())["fingerprint"]) == 64
    sizes = {tuple(json.loads(line)["size"]) for line in (folder / "manifest.jsonl").read_text().splitlines()}
    assert sizes == {(256, 256) if method == "ebmc" else (40, 56)}, "that pages were computed at"


def test_other_rows_are_made_by_name_and_references(benchmark, tmp_path):
    wrong = ["method.name=color_transfer_wrong_references", "method.references=other_chapter"]
    assert run(benchmark, tmp_path, "method=color_transfer", *wrong) is None
    assert "color_transfer_wrong_references" in results(tmp_path)


@pytest.mark.parametrize("method", ["ebmc", "screenvae"])
def test_missing_weights_end_in_one_line(benchmark, tmp_path, method):
    message = run(benchmark, tmp_path, f"method={method}", "retrieval=hog")
    assert message is not None
    assert "set method.weights=" in message
    assert "\n" not in message


def test_a_command_is_a_row_with_a_log(benchmark, tmp_path):
    tool = tmp_path / "tool.py"
    tool.write_text(
        "import pathlib, sys\nfrom PIL import Image, ImageOps\n"
        "for path in pathlib.Path(sys.argv[1]).iterdir():\n"
        "    page = ImageOps.colorize(Image.open(path).convert('L'), 'navy', 'wheat')\n"
        "    page.save(pathlib.Path(sys.argv[2]) / path.name)\n"
    )
    template = f"{shlex.join([sys.executable, str(tool)])} {{pages}} {{output}}"
    given = [f'method.command="{template}"', "method.name=navy", f"method.files=[{tool}]", "method.references=none"]
    assert run(benchmark, tmp_path / "out", "method=command", *given) is None
    assert results(tmp_path / "out")["navy"]["n"] == 5
    logs = sorted((tmp_path / "out" / "logs" / "navy").iterdir())
    assert [path.name for path in logs] == ["run-001.log", "run-002.log"]
    beside = [f"predictions={{navy:{tmp_path / 'out' / 'predictions' / 'navy'}}}"]
    assert run(benchmark, tmp_path / "both", "method=patch_copy", *beside) is None
    assert {"gray_copy", "patch_copy", "navy"} == results(tmp_path / "both").keys()
    assert results(tmp_path / "both")["navy"]["metrics"] == results(tmp_path / "out")["navy"]["metrics"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "missing method.command: set method.command=..."),
        (['method.command="no_such_tool {pages} {output}"'], "found none named 'no_such_tool'"),
        (['method.command="false {pages} {output}"', "method.references=none"], "expected exit status 0, got 1"),
    ],
)
def test_a_command_that_cannot_work_is_told(benchmark, tmp_path, given, said):
    message = run(benchmark, tmp_path, "method=command", *given)
    assert message is not None
    assert said in message
