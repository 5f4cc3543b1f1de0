"""The benchmark folder: what is chosen, what is written, and that damage is seen."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image
from tiny.benchmark import SIZE, tiny_benchmark, write_chapters
from tiny.runs import call_main, run_script

from colorflow.data.chapters import DataError
from colorflow.evaluation.bench import build as builder
from colorflow.evaluation.bench.benchmark import BenchmarkError, read_benchmark
from colorflow.evaluation.bench.build import build_benchmark
from data import build_benchmark as script


def test_folder_has_the_documented_form_its_pages_their_pixels_and_pools_the_other_pages(benchmark):
    files = {path.relative_to(benchmark.root).as_posix() for path in benchmark.root.rglob("*") if path.is_file()}
    pages = ["a/{}/000", "a/{}/001", "a/{}/002", "b/{}/000", "b/{}/001"]
    assert files == {f"{page.format(kind)}.png" for page in pages for kind in ("target", "gray")} | {"benchmark.json"}
    index = json.loads((benchmark.root / "benchmark.json").read_text())
    assert index["name"] == "tiny"
    assert index["protocol_version"] == 1
    assert index["files"]["b/gray/001.png"]["size"] == list(SIZE)
    assert index["chapters"][0] == {
        "name": "a",
        "pool": "leave_one_out",
        "pages": {"000": "p1.png", "001": "p2.jpg", "002": "p3.png"},
        "references": {},
    }
    assert str(benchmark.root.parent) not in json.dumps(index)
    source = benchmark.root.parent / "source"
    for page, file in zip(benchmark.pages, ("a/p1.png", "a/p2.jpg", "a/p3.png", "b/p1.png", "b/p2.jpg"), strict=True):
        original = Image.open(source / file).convert("RGB")
        assert np.array_equal(benchmark.target(page), original)
        assert np.array_equal(benchmark.input(page, "gray"), original.convert("L").convert("RGB"))
    pool = benchmark.references(benchmark.pages[1])
    assert pool.ids == ("a/target/000", "a/target/002")
    assert np.array_equal(pool.pages[1], benchmark.target(benchmark.pages[2]))
    assert benchmark.references(benchmark.pages[1], "other_chapter").ids == ("b/target/000", "b/target/001")
    assert len(benchmark.references(benchmark.pages[4], "other_chapter").ids) == 3
    assert benchmark.references(benchmark.pages[1], "none").ids == ()


def test_pages_are_counted_in_natural_order(tmp_path):
    benchmark = tiny_benchmark(tmp_path, {"ep10": 2, "ep2": 2})
    assert [(page.id, page.index) for page in benchmark.pages] == [
        ("ep2/000", 0),
        ("ep2/001", 1),
        ("ep10/000", 2),
        ("ep10/001", 3),
    ]


def test_large_chapters_get_a_reference_folder_apart_from_their_pages(tmp_path):
    source = write_chapters(tmp_path / "source", {"large": 9, "small": 4, "single": 1})
    benchmark = build_benchmark(source, tmp_path / "out", references=3, pages=2, progress=False)
    large, small = benchmark.chapters
    assert (len(large.pages), len(large.references)) == (2, 3)
    assert (len(small.pages), len(small.references)) == (2, 0)
    index = json.loads((benchmark.root / "benchmark.json").read_text())
    chosen, references = (set(index["chapters"][0][kind].values()) for kind in ("pages", "references"))
    assert not chosen & references
    assert benchmark.references(benchmark.pages[0]).ids == tuple(f"large/reference/{i:03d}" for i in range(3))
    assert index["skipped"] == [{"path": "single", "kind": "alone", "reason": "1 readable pages, at least 2 needed"}]


def test_only_the_named_chapters_are_taken(tmp_path):
    source = write_chapters(tmp_path / "source", {"a": 2, "b": 3, "c": 2})
    benchmark = build_benchmark(source, tmp_path / "out", chapters=["c", "a"], progress=False)
    assert [chapter.name for chapter in benchmark.chapters] == ["a", "c"]
    with pytest.raises(DataError, match=r"chapters: no such chapters \['d'\]; there are"):
        build_benchmark(source, tmp_path / "other", chapters=["a", "d"], progress=False)
    assert not (tmp_path / "other").exists()


def test_choice_depends_on_the_seed_alone(tmp_path):
    source = write_chapters(tmp_path / "source", {"a": 12})
    digests = {}
    for name, seed in (("first", 0), ("again", 0), ("other", 1)):
        built = build_benchmark(
            source, tmp_path / name, references=3, pages=3, seed=seed, name="x", overwrite=True, progress=False
        )
        digests[name] = built.digest
    assert digests["first"] == digests["again"] != digests["other"]


def test_the_same_benchmark_is_kept_another_is_refused_or_replaced(benchmark, tmp_path):
    source, before = tmp_path / "source", (benchmark.root / "benchmark.json").stat().st_mtime_ns
    again = build_benchmark(source, benchmark.root, name="tiny", progress=False)
    assert again.digest == benchmark.digest
    assert (benchmark.root / "benchmark.json").stat().st_mtime_ns == before
    with pytest.raises(BenchmarkError, match="differs in recipe"):
        build_benchmark(source, benchmark.root, name="tiny", seed=5, progress=False)
    replaced = build_benchmark(source, benchmark.root, name="tiny", seed=5, overwrite=True, progress=False)
    assert replaced.digest != benchmark.digest


def test_a_build_that_dies_leaves_nothing(tmp_path, monkeypatch):
    source = write_chapters(tmp_path / "source", {"a": 2, "b": 2})

    def dying(item: builder.Selection, *rest: object) -> dict[str, object]:
        if item.chapter == "b":
            raise KeyboardInterrupt
        return write(item, *rest)

    write = builder._write_chapter
    monkeypatch.setattr(builder, "_write_chapter", dying)
    with pytest.raises(KeyboardInterrupt):
        build_benchmark(source, tmp_path / "out", progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_unreadable_pages_are_left_out_with_a_list(tmp_path):
    source = write_chapters(tmp_path / "source", {"a": 24})
    (source / "a" / "p7.png").write_bytes(b"not a picture")
    benchmark = build_benchmark(source, tmp_path / "out", progress=False)
    skipped = json.loads((benchmark.root / "benchmark.json").read_text())["skipped"]
    assert len(benchmark.pages) == 23
    assert [(item["path"], item["kind"]) for item in skipped] == [("a/p7.png", "unreadable")]
    (source / "a" / "p9.png").write_bytes(b"not a picture either")
    with pytest.raises(DataError, match="2 of 24 pages"):
        build_benchmark(source, tmp_path / "other", progress=False)


def test_sources_and_targets_that_give_no_benchmark(tmp_path):
    with pytest.raises(DataError, match="expected a folder of chapter folders"):
        build_benchmark(tmp_path / "nowhere", tmp_path / "out", progress=False)
    source = write_chapters(tmp_path / "source", {"a": 1, "b": 1})
    with pytest.raises(BenchmarkError, match="at least 2 readable pages"):
        build_benchmark(source, tmp_path / "out", progress=False)
    with pytest.raises(BenchmarkError, match="references=0"):
        build_benchmark(source, tmp_path / "out", references=0, progress=False)
    write_chapters(tmp_path / "source", {"a": 2})
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    with pytest.raises(BenchmarkError, match="overwrite=true"):
        build_benchmark(source, tmp_path / "out", progress=False)
    assert (tmp_path / "out" / "thesis.txt").read_text() == "mine"


def test_damage_is_listed_by_kind(benchmark):
    root = benchmark.root
    (root / "a/target/001.png").unlink()
    changed = root / "b/gray/000.png"
    changed.write_bytes(changed.read_bytes()[:-1])
    shutil.copy(root / "a/gray/000.png", root / "a/gray/003.png")
    (root / "README.md").write_text("a card may lie here")
    with pytest.raises(BenchmarkError) as caught:
        read_benchmark(root)
    message = str(caught.value)
    assert "3 of 10 files" in message
    assert "\n  extra    a/gray/003.png\n  missing  a/target/001.png\n  changed  b/gray/000.png\n" in message
    assert "build_benchmark.py" in message
    assert len(read_benchmark(root, verify=False).pages) == 5


def test_a_long_list_of_damage_is_cut(benchmark):
    for number in range(30):
        shutil.copy(benchmark.root / "a/gray/000.png", benchmark.root / f"a/gray/1{number:02d}.png")
    with pytest.raises(BenchmarkError, match="and 10 more"):
        benchmark.verify()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"protocol_version": 2}, "protocol version 1, got 2"),
        ({"chapters": []}, "expected pages"),
        ({"files": {}}, "pages without files"),
        ({"styles": ["gray", "screenstyle"]}, "a/screenstyle/000.png"),
        ({"chapters": [{"name": "a"}]}, "documented form"),
    ],
)
def test_an_index_that_does_not_fit_is_refused(benchmark, change, message):
    path = benchmark.root / "benchmark.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(BenchmarkError, match=message):
        read_benchmark(benchmark.root)


def test_no_index_and_torn_index(benchmark, tmp_path):
    with pytest.raises(BenchmarkError, match=r"data/build_benchmark\.py source=DIR"):
        read_benchmark(tmp_path / "source")
    (benchmark.root / "benchmark.json").write_text('{"name": "ti')
    with pytest.raises(BenchmarkError, match="expected a benchmark index"):
        read_benchmark(benchmark.root)


def test_questions_the_benchmark_cannot_answer(tmp_path):
    benchmark = tiny_benchmark(tmp_path, {"only": 2})
    page = benchmark.pages[0]
    with pytest.raises(BenchmarkError, match="at least two chapters"):
        benchmark.references(page, "other_chapter")
    with pytest.raises(BenchmarkError, match="own, other_chapter, none"):
        benchmark.references(page, "all")
    with pytest.raises(BenchmarkError, match="style of gray, got 'sketch'"):
        benchmark.input(page, "sketch")


def test_the_script_builds_and_ends_errors_in_one_line(tmp_path, capsys):
    source = write_chapters(tmp_path / "source", {"a": 2, "b": 2})
    assert call_main(script, f"source={source}", f"output={tmp_path / 'out'}", "name=scripted") is None
    assert "4 pages in 2 chapters" in capsys.readouterr().out
    assert read_benchmark(tmp_path / "out").name == "scripted"
    failed = run_script("data/build_benchmark.py", f"output={tmp_path / 'out'}", cwd=tmp_path)
    assert failed.returncode == 1
    assert failed.stderr.strip().splitlines() == [
        "BenchmarkError: missing source; usage: data/build_benchmark.py source=DIR output=DIR"
    ]
