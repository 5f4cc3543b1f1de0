"""Means, intervals, tables, the page, the strip, and the three stages in one call."""

import json
import math
import random

import numpy as np
import pytest
from PIL import Image
from tiny.benchmark import SIZE, Tint, evaluate_tiny, find_row, page_scores, scored_pages, tint_rows, tiny_results
from tiny.metrics import PIXELS, TINY

from colorflow.baselines.predictions import PredictionsError
from colorflow.evaluation.bench.benchmark import BenchmarkError
from colorflow.evaluation.generate.generate import GenerationError
from colorflow.evaluation.report.tables import markdown_table
from colorflow.evaluation.results import Bootstrap, ResultsError, read_results, write_results
from colorflow.evaluation.stages import EvaluationError
from colorflow.methods import MethodSpec
from colorflow.metrics import MetricSettings
from colorflow.utils import strips

FILES = {
    "results.json", "table.md", "table.tex", "table.csv", "pages.csv", "differences.csv", "index.html", "strip.png",
    "sources.json",
}  # fmt: skip


def test_rows_are_means_over_pages_in_any_order_and_the_gray_copy_is_first():
    results = tiny_results()
    assert [(row["method"], row["n"]) for row in results["rows"]] == [("gray_copy", 12), ("colorflow", 12)]
    values = [page["psnr"] for page in scored_pages() if page["method"] == "colorflow"]
    assert find_row(results, "colorflow")["metrics"]["psnr"] == pytest.approx(sum(values) / 12, abs=1e-12)
    pages = scored_pages()
    ours, theirs = pages[:12], pages[12:]
    random.Random(0).shuffle(ours)
    random.Random(1).shuffle(theirs)
    assert tiny_results(pages=[*ours, *theirs]) == tiny_results()


def test_intervals_are_those_of_a_plain_seeded_bootstrap_over_chapters():
    values = {"a": [10.0, 11.0, 12.0], "b": [20.0], "c": [14.0, 15.0]}
    low, high = Bootstrap(samples=4000).interval(values)
    draws, generator = [], np.random.default_rng(7)
    for _ in range(4000):
        drawn = [value for name in generator.choice(list("abc"), 3) for value in values[name]]
        draws.append(sum(drawn) / len(drawn))
    assert (low, high) == pytest.approx(tuple(np.quantile(draws, [0.025, 0.975])), abs=0.35)
    assert Bootstrap(samples=4000).interval(dict(reversed(values.items()))) == [low, high]
    assert Bootstrap(samples=4000, confidence=0.5).interval(values) != [low, high]
    values = {str(i): list(np.random.default_rng(i).normal(size=3)) for i in range(9)}
    first = Bootstrap(samples=50).interval(values)
    assert Bootstrap(samples=50).interval(values) == first
    assert Bootstrap(samples=50, seed=1).interval(values) != first


def test_infinite_pages_and_single_chapters():
    assert Bootstrap().interval({"a": [1.0, 2.0]}) is None
    low, high = Bootstrap().interval({"a": [10.0, 10.0], "b": [math.inf]})
    assert (low, high) == (10.0, math.inf)
    perfect = page_scores("colorflow", "a", 1, math.inf) | {"ssim": 1.0, "ciede2000": 0.0}
    results = tiny_results(pages=[page_scores("colorflow", "a", 0, 20.0), perfect])
    assert results["rows"][0]["metrics"]["psnr"] == math.inf
    assert results["rows"][0]["intervals"]["psnr"] is None
    assert "No interval from a single chapter" in markdown_table(results)


def test_results_json_is_strict_json_and_reads_back(tmp_path):
    perfect = {"psnr": math.inf, "ssim": 1.0, "chroma_psnr": math.inf, "ciede2000": 0.0}
    results = tiny_results(pages=[page_scores("m", "inf", 0, 1.0) | perfect, page_scores("m", "b", 0, 20.0)])
    write_results(results, tmp_path / "results.json")

    def refuse(name: str) -> None:
        raise AssertionError(name)

    plain = json.loads((tmp_path / "results.json").read_text(), parse_constant=refuse)
    assert plain["rows"][0]["metrics"]["psnr"] == "inf"
    assert read_results(tmp_path / "results.json") == results
    assert read_results(tmp_path / "results.json")["pages"][1]["chapter"] == "inf"
    with pytest.raises(ResultsError, match="run stage=score first"):
        read_results(tmp_path / "nowhere.json")
    (tmp_path / "results.json").write_text("{}")
    with pytest.raises(ResultsError, match="run stage=score again"):
        read_results(tmp_path / "results.json")


def test_all_stages_write_everything_of_the_documented_form(benchmark, tmp_path):
    results = evaluate_tiny(benchmark, tmp_path / "out", tint_rows())
    assert {path.name for path in (tmp_path / "out").iterdir() if path.is_file()} == FILES
    assert set(results) == {"protocol", "rows", "incomplete", "pages"}
    for row in results["rows"]:
        assert list(row) == ["method", "style", "n", "metrics", "intervals", "chapters", "label", "fingerprint"]
        assert list(row["metrics"]) == list(row["intervals"]) == list(PIXELS)
        assert row["n"] == 5
        for name, (low, high) in row["intervals"].items():
            assert low <= row["metrics"][name] <= high
    methods = ["gray_copy", "colorflow", "colorflow_wrong_references"]
    assert [row["method"] for row in results["rows"]] == methods
    assert [page["method"] for page in results["pages"]] == [method for method in methods for _ in range(5)]
    assert {"method", "style", "chapter", "page", "seed", *PIXELS} <= set(results["pages"][0])
    shape = {"chapters": 2, "pages": [2, 3], "references": [0]}
    assert results["protocol"]["benchmark"] == {"name": "tiny", "sha256": benchmark.digest, "pages": 5, "shape": shape}
    assert read_results(tmp_path / "out" / "results.json") == results
    strip = Image.open(tmp_path / "out" / "strip.png")
    cell = round(strips.CELL_HEIGHT * SIZE[0] / SIZE[1])
    columns, rows = 5, 3
    assert strip.mode == "RGB"
    assert strip.width == columns * (cell + 12) + 12
    assert strip.height == 34 + rows * (strips.CELL_HEIGHT + 22 + 12) + 12
    pixels = np.asarray(strip).astype(int)
    inside = pixels[60:300, :, :]
    chroma = (inside.max(2) - inside.min(2)).mean(0)
    assert chroma[20 : 8 + cell].max() == 0  # the input has no colour
    assert chroma[-cell:-20].mean() > 20  # the original has


@pytest.mark.parametrize("names", [("psnr", "fid"), ("psnr",), ("ssim", "lpips"), ("fid",)])
def test_some_metrics_without_others_are_reported(names, benchmark, tmp_path):
    rows = tint_rows() | {"colorflow_icp": MethodSpec(build=lambda: Tint(9))}  # every margin has its rival
    settings = MetricSettings([TINY.get(name, name) for name in names])
    results = evaluate_tiny(benchmark, tmp_path / "out", rows, metrics=settings, progress=True)
    assert {path.name for path in (tmp_path / "out").iterdir() if path.is_file()} == FILES
    assert [set(row["metrics"]) for row in results["rows"]] == [set(names)] * 4
    page = (tmp_path / "out" / "index.html").read_text()
    assert ("dB</span>" in page) == ("best:psnr:colorflow" in page) == ("psnr" in names)
    assert ("best:ssim:colorflow" in page) == ("ssim" in names)


def test_stages_alone_equal_all_at_once_and_only_generate_builds(benchmark, tmp_path):
    def never() -> Tint:
        raise AssertionError("a model was loaded")

    whole = evaluate_tiny(benchmark, tmp_path / "whole", tint_rows())
    generated = evaluate_tiny(benchmark, tmp_path / "parts", tint_rows(), stage="generate")
    assert generated["rows"] == []
    lazy = {name: MethodSpec(build=never, references=spec.references) for name, spec in tint_rows().items()}
    assert evaluate_tiny(benchmark, tmp_path / "parts", lazy, stage="score") == whole
    assert evaluate_tiny(benchmark, tmp_path / "parts", lazy, stage="report") == whole
    for name in FILES:
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_a_killed_evaluation_gives_the_same_numbers(benchmark, tmp_path):
    whole = evaluate_tiny(benchmark, tmp_path / "whole", tint_rows())
    for killed_at in (1, 3):
        method = Tint(5, fail_on=(killed_at,))
        method.error = KeyboardInterrupt
        with pytest.raises(KeyboardInterrupt):
            evaluate_tiny(
                benchmark, tmp_path / "out", tint_rows() | {"colorflow": MethodSpec(build=lambda m=method: m)}
            )
    assert evaluate_tiny(benchmark, tmp_path / "out", tint_rows()) == whole


def test_folders_of_predictions_are_rows_without_a_model(benchmark, tmp_path):
    first = evaluate_tiny(benchmark, tmp_path / "first", tint_rows())
    folder = tmp_path / "first" / "predictions" / "colorflow"
    results = evaluate_tiny(benchmark, tmp_path / "out", {"theirs": MethodSpec(predictions=folder)}, stage="score")
    assert find_row(results, "theirs")["metrics"] == find_row(first, "colorflow")["metrics"]
    assert [row["method"] for row in results["rows"]] == ["gray_copy", "theirs"]


def test_wrong_requests_and_what_scoring_lacks_are_told_before_any_method_is_built(benchmark, tmp_path):
    built: list[str] = []

    def build() -> Tint:
        built.append("built")
        return Tint()

    methods = {"colorflow": MethodSpec(build=build)}
    (tmp_path / "theirs" / "gray" / "a").mkdir(parents=True)
    with pytest.raises(PredictionsError, match="5 missing"):
        evaluate_tiny(benchmark, tmp_path / "out", methods | {"x": MethodSpec(predictions=tmp_path / "theirs")})
    with pytest.raises(BenchmarkError, match="screenstyle"):
        evaluate_tiny(benchmark, tmp_path / "out", methods, styles=("gray", "screenstyle"))
    with pytest.raises(ValueError, match="ssim_window"):
        evaluate_tiny(benchmark, tmp_path / "out", methods, ssim_window="box")
    with pytest.raises(EvaluationError, match="row name"):
        evaluate_tiny(benchmark, tmp_path / "out", {"../up": MethodSpec(build=build)})
    with pytest.raises(EvaluationError, match="all, generate, score, report, got 'train'"):
        evaluate_tiny(benchmark, tmp_path / "none", {}, stage="train")
    with pytest.raises(ResultsError, match="run stage=score first"):
        evaluate_tiny(benchmark, tmp_path / "none", {}, stage="report")
    (benchmark.root / "a" / "target" / "000.png").write_bytes(b"")
    with pytest.raises(BenchmarkError, match=r"changed  a/target/000\.png"):
        evaluate_tiny(benchmark, tmp_path / "out", methods)
    assert built == []
    assert not (tmp_path / "out").exists()


def test_all_folders_of_other_settings_are_named_before_any_method_is_built(benchmark, tmp_path):
    def rows(fingerprint: str) -> dict[str, MethodSpec]:
        return {name: MethodSpec(spec.build, spec.references, fingerprint) for name, spec in tint_rows().items()}

    def never() -> Tint:
        raise AssertionError("a model was loaded")

    evaluate_tiny(benchmark, tmp_path, rows("before"), stage="generate")
    new = {"new": MethodSpec(build=never)} | rows("after")
    with pytest.raises(GenerationError) as caught:
        evaluate_tiny(benchmark, tmp_path, new)
    first, second, remedy = str(caught.value).splitlines()
    for line, name in ((first, "colorflow"), (second, "colorflow_wrong_references")):
        assert line.startswith(f"{tmp_path / 'predictions' / name / 'gray'}: holds pages made with other settings")
        assert "(fingerprint differ: ['before'], now ['after'])" in line
    assert remedy == "choose another output or remove what is named above"


def test_missing_pages_are_shown_as_missing(benchmark, tmp_path):
    results = evaluate_tiny(benchmark, tmp_path / "out", {"colorflow": MethodSpec(build=lambda: Tint(fail_on=(2,)))})
    assert [row["n"] for row in results["rows"]] == [5, 4]
    assert '<div class="missing">missing</div>' in (tmp_path / "out" / "index.html").read_text()


def test_the_strip_spreads_pages_and_shows_up_to_four_references_where_they_fit_best():
    colors = ["red", "green", "blue", "yellow", "cyan"]
    wide = [Image.new("RGB", (80, 20), color) for color in colors]
    picture = strips.mosaic(wide[:2], (80, 60))
    assert picture.size == (80, 60)
    column = [pixel[:3] for pixel in np.asarray(picture)[:, 40] if pixel[3]]
    assert len(set(map(tuple, column))) == 2  # one above the other
    shown = {tuple(pixel[:3]) for pixel in np.asarray(strips.mosaic(wide, (80, 60))).reshape(-1, 4) if pixel[3] == 255}
    assert len(shown) == 4
    assert np.asarray(strips.mosaic([], (80, 60))).max() == 0
    assert strips.spread(range(9), 3) == [1, 4, 7]
    assert strips.spread([5, 6], 4) == [5, 6]
    assert strips.spread([], 4) == []
