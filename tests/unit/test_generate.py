"""Generation: one PNG a page, exact resume, failures within bounds."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny.benchmark import SIZE, Tint, TintTogether
from tiny.recipes import STEPS, make

from colorflow.baselines.gray_copy import GrayCopy
from colorflow.evaluation.bench.benchmark import BenchmarkError, read_benchmark
from colorflow.evaluation.generate.generate import GenerationError, generate
from colorflow.pipelines.icp import Sampling
from colorflow.pipelines.recipes import Recipe
from colorflow.schema import BatchColorizer, PageRecord
from colorflow.utils.files import read_jsonl, write_json_atomic
from colorflow.utils.hashing import digest_file
from colorflow.utils.progress import allowed_failures

QUIET = {"progress": False}


def _bytes(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*.png"))}


def test_writes_one_png_a_page_and_a_record(benchmark, tmp_path):
    method = Tint()
    report = generate(method, benchmark, tmp_path / "out", base_seed=100, fingerprint="abc", **QUIET)
    folder = tmp_path / "out" / "tint" / "gray"
    assert (report.folder, report.written, report.reused, report.failures) == (folder.parent, 5, 0, ())
    assert list(_bytes(folder)) == ["a/000.png", "a/001.png", "a/002.png", "b/000.png", "b/001.png"]
    records = [PageRecord(**record) for record in read_jsonl(folder / "manifest.jsonl")]
    assert [record.seed for record in records] == [100, 101, 102, 103, 104]
    assert [record.sha256 for record in records] == [digest_file(path) for path in sorted(folder.rglob("*.png"))]
    assert tuple(records[4].size) == benchmark.target(benchmark.pages[4]).size
    assert method.calls[1] == (101, ("a/target/000", "a/target/002"))
    settings = json.loads((folder / "generation.json").read_text())
    assert settings["benchmark_sha256"] == benchmark.digest
    assert settings["fingerprint"] == "abc"


def test_gray_copy_is_the_input(benchmark, tmp_path):
    generate(GrayCopy(), benchmark, tmp_path, **QUIET)
    for page in benchmark.pages:
        copy = Image.open(tmp_path / "gray_copy" / "gray" / page.chapter / f"{page.name}.png")
        assert np.array_equal(copy, benchmark.input(page, "gray"))


@pytest.mark.parametrize(
    ("references", "expected"), [("other_chapter", ("b/target/000", "b/target/001")), ("none", ())]
)
def test_rows_differ_by_name_and_references(benchmark, tmp_path, references, expected):
    method = Tint()
    generate(method, benchmark, tmp_path, name=f"tint_{references}", references=references, **QUIET)
    assert method.calls[0] == (0, expected)
    assert (tmp_path / f"tint_{references}" / "gray" / "a" / "000.png").is_file()


@pytest.mark.parametrize("killed_at", range(5))
def test_a_killed_run_goes_on_where_it_stopped(benchmark, tmp_path, killed_at):
    whole = generate(Tint(), benchmark, tmp_path / "whole", **QUIET)
    dying = Tint(fail_on=(killed_at,))
    dying.error = KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        generate(dying, benchmark, tmp_path / "killed", **QUIET)
    method = Tint()
    report = generate(method, benchmark, tmp_path / "killed", **QUIET)
    assert (report.reused, report.written) == (killed_at, 5 - killed_at)
    assert [seed for seed, _ in method.calls] == list(range(killed_at, 5))
    assert _bytes(report.folder) == _bytes(whole.folder)
    assert len(read_jsonl(report.folder / "gray" / "manifest.jsonl")) == 5


def test_a_page_without_record_a_changed_page_and_a_torn_manifest_are_redone(benchmark, tmp_path):
    folder = generate(Tint(), benchmark, tmp_path, **QUIET).folder / "gray"
    before = _bytes(folder)
    lines = (folder / "manifest.jsonl").read_text().splitlines(keepends=True)
    (folder / "manifest.jsonl").write_text("".join(lines[:3]) + lines[3][:20])
    (folder / "a" / "001.png").write_bytes(b"torn")
    (folder / "a" / "002.png").unlink()
    (folder / "a" / ".002.123-abc.png").write_bytes(b"half a page")  # of a kill
    method = Tint()
    report = generate(method, benchmark, tmp_path, **QUIET)
    assert [seed for seed, _ in method.calls] == [1, 2, 3, 4]
    assert report.reused == 1
    assert _bytes(folder) == before
    assert {record["page"] for record in read_jsonl(folder / "manifest.jsonl")} == {"000", "001", "002"}


def test_a_finished_run_calls_nothing_and_its_manifest_is_in_page_order(benchmark, tmp_path):
    folder = generate(Tint(), benchmark, tmp_path, **QUIET).folder / "gray"
    method = Tint()
    assert generate(method, benchmark, tmp_path, **QUIET).reused == 5
    assert method.calls == []
    (folder / "a" / "001.png").unlink()
    generate(Tint(), benchmark, tmp_path, **QUIET)
    assert [(record["chapter"], record["page"]) for record in read_jsonl(folder / "manifest.jsonl")] == [
        (page.chapter, page.name) for page in benchmark.pages
    ]


@pytest.mark.parametrize(
    ("change", "named"),
    [({"base_seed": 1}, "base_seed"), ({"fingerprint": "w2"}, "fingerprint"), ({"references": "none"}, "references")],
)
def test_pages_of_other_settings_are_not_continued(benchmark, tmp_path, change, named):
    generate(Tint(), benchmark, tmp_path, fingerprint="w1", **QUIET)
    with pytest.raises(GenerationError, match=rf"other settings \({named} differ"):
        generate(Tint(), benchmark, tmp_path, **({"fingerprint": "w1"} | change), **QUIET)


def test_a_changed_style_or_reference_is_another_benchmark(benchmark, tmp_path):
    generate(Tint(), benchmark, tmp_path, **QUIET)
    index = json.loads((benchmark.root / "benchmark.json").read_text())
    Image.new("RGB", SIZE).save(benchmark.root / "a" / "gray" / "001.png")
    index["files"]["a/gray/001.png"]["sha256"] = digest_file(benchmark.root / "a" / "gray" / "001.png")
    write_json_atomic(index, benchmark.root / "benchmark.json")
    with pytest.raises(GenerationError, match=r"other settings \(benchmark_sha256 differ"):
        generate(Tint(), read_benchmark(benchmark.root), tmp_path, **QUIET)


def test_one_failing_page_is_skipped_and_listed_then_tried_again(benchmark, tmp_path):
    report = generate(Tint(fail_on=(2,)), benchmark, tmp_path, **QUIET)
    assert list(report.failures) == [("a/002", "RuntimeError: told to fail on seed 2")]
    assert (report.written, len(_bytes(report.folder))) == (4, 4)
    again = generate(Tint(), benchmark, tmp_path, **QUIET)
    assert (again.written, again.reused, again.failures) == (1, 4, ())


def test_too_many_failing_pages_stop_the_run_with_a_list(benchmark, tmp_path):
    with pytest.raises(GenerationError, match="2 of 5 pages failed") as caught:
        generate(Tint(fail_on=(1, 3)), benchmark, tmp_path, **QUIET)
    assert "  a/001: RuntimeError: told to fail on seed 1\n  b/000: " in str(caught.value)
    assert isinstance(caught.value.__cause__, RuntimeError)
    with pytest.raises(GenerationError, match="1 of 5"):
        generate(Tint(fail_on=(4,)), benchmark, tmp_path, max_failures=0, **QUIET)

    class Wrong(Tint):
        def colorize(self, *args: object, **kwargs: object) -> np.ndarray:
            return np.zeros((4, 4, 3))

    with pytest.raises(GenerationError, match="expected a PIL image, got ndarray"):
        generate(Wrong(), benchmark, tmp_path / "wrong", **QUIET)


def test_what_cannot_be_asked_is_told_before_the_first_page(benchmark, tmp_path):
    with pytest.raises(BenchmarkError, match="sketch"):
        generate(Tint(), benchmark, tmp_path, style="sketch", **QUIET)
    assert not (tmp_path / "tint").exists()
    (tmp_path / "tint" / "gray" / "a").mkdir(parents=True)
    with pytest.raises(GenerationError, match=r"without generation\.json"):
        generate(Tint(), benchmark, tmp_path, **QUIET)


@pytest.mark.parametrize(("size", "batches"), [(2, [[0, 1], [3, 4]]), (8, [[0, 1, 2], [3, 4]])])
def test_pages_of_a_chapter_are_coloured_together(benchmark, tmp_path, size, batches):
    single = generate(Tint(), benchmark, tmp_path / "single", **QUIET)
    method = TintTogether()
    report = generate(method, benchmark, tmp_path / "batch", batch_size=size, **QUIET)
    assert method.batches == batches  # a page that is left alone needs no batch
    assert (report.written, report.failures) == (5, ())
    assert _bytes(report.folder) == _bytes(single.folder)
    manifests = [read_jsonl(folder / "gray" / "manifest.jsonl") for folder in (single.folder, report.folder)]
    assert [{**record, "seconds": 0} for record in manifests[0]] == [
        {**record, "seconds": 0} for record in manifests[1]
    ]


def test_who_is_asked_for_batches(benchmark, tmp_path):
    assert generate(Tint(), benchmark, tmp_path, batch_size=4, **QUIET).written == 5
    with pytest.raises(GenerationError, match="batch_size: expected at least 1, got 0"):
        generate(TintTogether(), benchmark, tmp_path / "none", batch_size=0, **QUIET)
    assert isinstance(make(Recipe(Sampling(STEPS))), BatchColorizer)
    assert not isinstance(GrayCopy(), BatchColorizer)


def test_a_bad_page_of_a_batch_loses_only_itself(benchmark, tmp_path, caplog):
    whole = generate(Tint(), benchmark, tmp_path / "whole", **QUIET)
    report = generate(TintTogether(fail_on=(1,)), benchmark, tmp_path / "out", batch_size=3, **QUIET)
    assert [page for page, _ in report.failures] == ["a/001"]
    assert "pages a/000, a/001, a/002 failed together and are tried one by one: told to fail" in caplog.text
    expected = {name: data for name, data in _bytes(whole.folder).items() if name != "gray/a/001.png"}
    assert _bytes(report.folder) == expected


def test_a_batch_that_lost_a_page_is_a_failed_one(benchmark, tmp_path):
    method = TintTogether()
    method.colorize_batch = lambda pages, references, *, seeds: []  # type: ignore[method-assign]
    assert generate(method, benchmark, tmp_path, batch_size=3, **QUIET).written == 5


def test_who_is_with_whom_in_a_batch_depends_on_the_benchmark_alone(benchmark, tmp_path):
    folder = generate(Tint(), benchmark, tmp_path, **QUIET).folder / "gray"
    (folder / "a" / "000.png").unlink()
    (folder / "a" / "002.png").unlink()
    method = TintTogether()
    generate(method, benchmark, tmp_path, batch_size=2, **QUIET)
    assert method.batches == []
    assert [seed for seed, _ in method.calls] == [0, 2]


@pytest.mark.parametrize(("pages", "fraction", "allowed"), [(5, 0.05, 1), (100, 0.05, 5), (59, 0.05, 2), (5, 0, 0)])
def test_allowed_failures(pages, fraction, allowed):
    assert allowed_failures(pages, fraction) == allowed
