"""A method and a style of somebody else's package, used by configuration alone."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from tiny.benchmark import write_chapters
from tiny.runs import QUIET, SMALLER, TINY, call_main

import evaluate
import train
from colorflow.config import load_config
from data import build_benchmark as benchmark_script

PACKAGE = '''
from dataclasses import dataclass

from PIL import Image, ImageOps

from colorflow.methods import MethodSpec


@dataclass(frozen=True)
class Sepia:
    strength: int
    name: str = "sepia"

    def colorize(self, page, references, *, seed):
        return ImageOps.colorize(page.convert("L"), "black", "white", mid=(128 + self.strength, 128, 100))


def rows(strength=40):
    return {"sepia": MethodSpec(lambda: Sepia(strength), "none", str(strength), label="Somebody's sepia")}


@dataclass(frozen=True)
class Halves:
    """Black and white, nothing between."""

    level: int = 128
    name: str = "halves"

    def __call__(self, page, generator):
        return page.convert("L").point(lambda value: 255 * (value >= self.level)).convert("RGB")

    def describe(self):
        return {"name": self.name, "class": "Halves", "level": self.level}
'''


@pytest.fixture(autouse=True)
def _package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "somebodys.py").write_text(PACKAGE)
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.delitem(sys.modules, "somebodys", raising=False)


def test_a_benchmark_of_a_foreign_style_is_coloured_by_a_foreign_method(tmp_path: Path) -> None:
    source, root, output = write_chapters(tmp_path / "in", {"a": 2, "b": 2}), tmp_path / "bench", tmp_path / "out"
    style = ["styles=[gray,halves]", "+style.halves={_target_:somebodys.Halves,level:100}"]
    assert call_main(benchmark_script, f"source={source}", f"output={root}", *style) is None
    assert json.loads((root / "benchmark.json").read_text())["style_settings"]["halves"]["level"] == 100
    where = ["benchmark=folder", f"benchmark.root={root}", f"output={output}", "styles=[gray,halves]"]
    method = ["method=gray_copy", "method._target_=somebodys.rows", "+method.strength=60"]
    assert call_main(evaluate, *where, *method, "metrics=pixels", "metrics.metric_size=native") is None
    rows = json.loads((output / "results.json").read_text())["rows"]
    assert [(row["method"], row["style"], row["label"]) for row in rows if row["method"] == "sepia"] == [
        ("sepia", "gray", "Somebody's sepia"),
        ("sepia", "halves", "Somebody's sepia"),
    ]
    assert next(row for row in rows if row["method"] == "sepia")["fingerprint"] == "60"
    assert "| Somebody's sepia | halves | 4 |" in (output / "table.md").read_text()


def test_an_option_that_a_foreign_method_lacks_is_refused(tmp_path: Path) -> None:
    where = ["benchmark=folder", f"benchmark.root={tmp_path}", f"output={tmp_path / 'out'}"]
    method = ["method=gray_copy", "method._target_=somebodys.rows", "+method.colour=60"]
    message = call_main(evaluate, *where, *method)
    assert message is not None
    assert "colour" in message


def test_a_training_takes_a_foreign_style(tmp_path: Path) -> None:
    style = ["style=gray", "style._target_=somebodys.Halves", "+style.level=90"]
    where = [f"paths.cache_dir={tmp_path / 'cache'}", f"paths.run_dir={tmp_path / 'run'}"]
    short = ["trainer.max_steps=1", "trainer.limit_val_batches=0", "lr_scheduler.num_warmup_steps=0", "benchmark=none"]
    message = call_main(train, "experiment=icp_lora64", *TINY, *SMALLER, *QUIET, *style, *where, *short)
    assert message is None
    assert load_config(tmp_path / "run" / "config.yaml")["style"]["_target_"] == "somebodys.Halves"
    told = json.loads((tmp_path / "run" / "run.json").read_text())["style"]
    assert told == {"name": "halves", "class": "Halves", "level": 90, "recorded": {}}
