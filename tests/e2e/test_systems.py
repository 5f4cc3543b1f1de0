"""``experiment=table1``: all systems in one command, and what is said of those that cannot be rows."""

from __future__ import annotations

import json
import shlex
import shutil
import sys

import pytest
from PIL import Image
from tiny.baselines import small_networks, write_ebmc
from tiny.benchmark import TwoTone, tinted_folder, write_chapters
from tiny.ports import write_acdo, write_full_ebmc, write_full_screens, write_mcv2
from tiny.runs import call_main

import evaluate
from colorflow.config import compose_config, to_dict
from colorflow.evaluation.bench.build import build_benchmark
from colorflow.utils.hashing import digest_file

STYLES = ("screenstyle", "gray")
WEIGHT_FREE = ["gray_copy", "color_transfer", "patch_copy", "mean_tint"]
TOOL = """
import pathlib, sys, time
from PIL import Image, ImageOps
for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    ImageOps.colorize(Image.open(path).convert("L"), "navy", "wheat").save(pathlib.Path(sys.argv[2]) / path.name)
time.sleep(float(sys.argv[3]))
"""


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """Two chapters, both inputs of the paper."""
    root = tmp_path_factory.mktemp("systems")
    source = write_chapters(root / "source", {"a": 2, "b": 2})
    return build_benchmark(source, root / "bench", name="tiny", styles=[TwoTone()], progress=False)


def run(bench, place, *options):
    """What the command ends with, and what it wrote; weights are looked for in a folder of the place."""
    where = [f"benchmark.root={bench.root}", f"output={place / 'out'}", f"paths.weights={place / 'weights'}"]
    where += [f"paths.runs={place / 'runs'}", "metrics=pixels", "metrics.metric_size=native", "retrieval=hog"]
    message = call_main(evaluate, "experiment=table1", "benchmark=folder", *where, *options)
    file = place / "out" / "table1" / "results.json"
    return message, json.loads(file.read_text()) if file.is_file() else None


def tool(place, seconds=0.0):
    """Options of one more row: a program that sleeps."""
    script = place / "tool.py"
    script.write_text(TOOL)
    command = f"{shlex.join([sys.executable, str(script)])} {{pages}} {{output}} {seconds}"
    return ["+method@method.tool=command", f'method.tool.command="{command}"', "method.tool.name=tool"]


def keys(rows):
    return [(row["method"], row["style"]) for row in rows]


def reasons(results):
    return {row["method"]: row["reason"] for row in results["incomplete"]}


def test_a_system_without_weights_says_what_to_fetch_and_where_to_put_it(bench, tmp_path):
    message, results = run(bench, tmp_path)
    assert message is None, "what was not given is no failure"
    assert sorted(keys(results["rows"])) == sorted((name, style) for name in WEIGHT_FREE for style in STYLES)
    said = reasons(results)
    assert list(said) == ["mcv2", "acdo", "ebmc", "screenvae", "colorflow", "style2paints"]
    weights = tmp_path / "weights"
    for name, pieces in {
        "mcv2": ["method.mcv2.weights: expected", "generator.zip", str(weights / "mcv2/generator.zip"), "all rights"],
        "acdo": ["method.acdo.weights=PATH", str(weights / "acdo/ColorizeArtistic_gen.pth"), "MIT by that readme"],
        "ebmc": ["method.ebmc.weights", str(weights / "ebmc/074000_gray.pt"), "Apache-2.0"],
        "screenvae": [str(weights / "ColorFlow/LE/erika.pth"), "TencentARC/ColorFlow", "licence:"],
        "colorflow": ["python train.py experiment=icp_lora64 then=gsrp", "trainings.runs.NAME.export=DIR"],
        "style2paints": ["expected a folder <style>/<chapter>/NNN.png", "set predictions=DIR or"],
    }.items():
        assert [piece for piece in pieces if piece not in said[name]] == [], said[name]
    folder = tmp_path / "out/table1"
    assert "| MC-v2 | no | screenstyle | - / 0.8632 |" in (folder / "paper.md").read_text()
    assert "- MC-v2 (screenstyle, gray): method.mcv2.weights" in (folder / "table.md").read_text()
    assert "<li>EBMC (screenstyle, gray): " in (folder / "index.html").read_text()


def test_what_fails_is_a_row_that_says_why_and_the_others_are_kept(bench, tmp_path):
    """Damaged and foreign files, a folder with a page too few, a program that hangs."""
    weights = tmp_path / "weights"
    for name in ("mcv2", "acdo", "ebmc"):
        (weights / name).mkdir(parents=True)
    (weights / "mcv2/generator.zip").write_bytes(b"<html>quota exceeded</html>")
    Image.new("RGB", (8, 8)).save(weights / "acdo/ColorizeArtistic_gen.pth", format="PNG")
    few = tinted_folder(bench, tmp_path / "few").root
    shutil.copytree(few / "gray", few / "screenstyle")
    next((few / "gray").glob("a/*.png")).unlink()
    given = ["method.screenvae=null", "method.colorflow=null", f"predictions={{style2paints:{few}}}"]
    hangs = [*tool(tmp_path, 600), "method.tool.seconds=1", "method.tool.references=none"]
    with small_networks():
        write_ebmc(weights / "ebmc/074000_gray.pt")
        message, results = run(bench, tmp_path, *given, *hangs)
    rows = keys(results["rows"])
    whole = ["gray_copy", "ebmc", *WEIGHT_FREE[1:]]
    assert [name for name, style in rows if style == "gray"] == whole
    assert ("style2paints", "screenstyle") in rows
    said = {key: row["reason"] for key, row in zip(keys(results["incomplete"]), results["incomplete"], strict=True)}
    assert all(row["failed"] for row in results["incomplete"])
    assert "generator.zip: truncated, damaged" in said["mcv2", "gray"]
    assert "ColorizeArtistic_gen.pth: truncated, damaged" in said["acdo", "gray"]
    assert "got 1 missing (0 allowed)" in said["style2paints", "gray"]
    for style in STYLES:
        assert "expected an end within 1 s, got none" in said["tool", style]
        assert "raise its option seconds" in said["tool", style]
    assert message is not None
    assert "7 rows failed and stand without numbers: mcv2 (screenstyle), acdo (screenstyle), tool" in message
    assert "the same command goes on" in message
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "out/predictions").rglob("*.png")}
    with small_networks():
        message, mended = run(bench, tmp_path, "method.mcv2=null", "method.acdo=null", *given[:2], *tool(tmp_path))
    assert message is None
    assert ("tool", "gray") in keys(mended["rows"])
    assert reasons(mended).keys() == {"style2paints"}
    assert {path: path.stat().st_mtime_ns for path in made} == made


def test_systems_have_their_own_options_and_can_be_left_out_and_added():
    options = ["method.mcv2.size=320", "method.acdo=null", "+method@method.wrong=ebmc", "method.wrong.name=wrong"]
    cfg = compose_config("evaluate", ["method=systems", "output=out", "paths.weights=W", *options])
    mcv2, wrong, ebmc = (to_dict(cfg.method[key]) for key in ("mcv2", "wrong", "ebmc"))
    assert (mcv2["size"], mcv2["weights"]) == (320, "W/mcv2/generator.zip")
    assert cfg.method.acdo is None
    assert wrong == {**ebmc, "name": "wrong"}


def test_two_systems_of_one_name_are_refused(bench, tmp_path):
    message, _ = run(bench, tmp_path, "+method@method.again=patch_copy")
    assert message == (
        "ConfigError: method.again: expected a name of its own, got patch_copy; set method.again.name=NAME"
    )


def manifest(place, row, style):
    lines = (place / "out/predictions" / row / style / "manifest.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


NATIVE = {"mcv2": [32, 45], "acdo": [48, 48], "ebmc": [256, 256], "screenvae": [80, 112], "tool": [40, 56]}
"""Of pages of 40 x 56, by the options below."""


@pytest.mark.slow
def test_every_system_at_full_size_with_weights_made_by_rule(bench, tmp_path):
    weights = tmp_path / "weights"
    (weights / "mcv2").mkdir(parents=True)
    write_mcv2(weights / "mcv2")
    write_acdo(weights / "acdo/ColorizeArtistic_gen.pth")
    write_full_ebmc(weights / "ebmc/074000_gray.pt")
    write_full_screens(weights / "ColorFlow")
    options = ["method.mcv2.size=32", "method.acdo.render_factor=3", "method.screenvae.height=112"]
    pictures = tinted_folder(bench, tmp_path / "given").root
    shutil.copytree(pictures / "gray", pictures / "screenstyle")
    options += ["method.colorflow=null", f"method.style2paints.predictions={pictures}", *tool(tmp_path)]
    message, results = run(bench, tmp_path, *options)
    assert message is None
    assert results["incomplete"] == []
    expected = [*WEIGHT_FREE, "mcv2", "acdo", "ebmc", "screenvae", "style2paints", "tool"]
    assert sorted(keys(results["rows"])) == sorted((name, style) for name in expected for style in STYLES)
    assert all(row["n"] == 4 for row in results["rows"])
    for name in set(expected) - {"style2paints"}:
        for style in STYLES:
            records = manifest(tmp_path, name, style)
            assert [(record["chapter"], record["page"]) for record in records] == [
                (page.chapter, page.name) for page in bench.pages
            ]
            for record in records:
                file = tmp_path / "out/predictions" / name / style / record["chapter"] / f"{record['page']}.png"
                assert record["sha256"] == digest_file(file)
                assert record["size"] == NATIVE.get(name, [40, 56])
                with Image.open(file) as picture:
                    assert (picture.size, picture.mode) == ((40, 56), "RGB")
    again, unchanged = run(bench, tmp_path, *options)
    assert (again, unchanged) == (None, results)
