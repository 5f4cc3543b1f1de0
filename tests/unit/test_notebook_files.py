"""The notebooks as git has them: nothing of a run in them, the public interface alone, every picture in docs."""

import ast
import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PATHS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def code(notebook: dict[str, Any]) -> list[str]:
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def traces(notebook: dict[str, Any]) -> list[str]:
    left = []
    for number, cell in enumerate(notebook["cells"]):
        left += [f"cell {number}: {key}" for key in ("outputs", "execution_count", "attachments") if cell.get(key)]
        left += [f"cell {number}: metadata {key}" for key in cell["metadata"] if key != "tags"]
    return left + [f"metadata {key}" for key in notebook["metadata"] if key not in ("kernelspec", "language_info")]


def private(source: str) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            found.append(node.attr)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found += [part for alias in node.names for part in alias.name.split(".")]
            found += (getattr(node, "module", None) or "").split(".")
    return [name for name in found if name.startswith("_")]


def tags(notebook: dict[str, Any]) -> list[str]:
    found = [tag for cell in notebook["cells"] for tag in cell["metadata"].get("tags", ())]
    return [tag.removeprefix("picture:") for tag in found if tag.startswith("picture:")]


def test_there_are_four_and_every_picture_is_in_docs():
    assert [path.name[:2] for path in PATHS] == ["1_", "2_", "3_", "4_"]
    named = [name for path in PATHS for name in tags(read(path))]
    assert len(named) == len(set(named))
    text = (ROOT / "docs" / "notebooks.md").read_text(encoding="utf-8")
    assert [name for name in named if f"(assets/{name}.png)" not in text] == []
    kept = {path.stem for path in (ROOT / "docs" / "assets").glob("notebook-*.png")}
    assert kept == set(named), "run python docs/make_notebook_pictures.py, remove what no cell shows any more"


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_nothing_of_a_run_is_left_and_nothing_private_used(path):
    assert not [name for source in code(read(path)) for name in private(source)], "the public interface alone"
    left = traces(read(path))
    assert not left, f"{path.name}: expected a notebook as written, got {left}; clear all outputs and save it again"


def test_traces_are_found():
    cell = {"cell_type": "code", "source": "1", "metadata": {}, "outputs": [], "execution_count": None}
    clean = {"cells": [cell], "metadata": {"kernelspec": {}}}
    assert traces(clean) == []
    output = {"output_type": "stream", "text": ["x"]}
    assert traces(clean | {"cells": [cell | {"outputs": [output]}]}) == ["cell 0: outputs"]
    assert traces(clean | {"cells": [cell | {"execution_count": 3}]}) == ["cell 0: execution_count"]
    assert traces(clean | {"cells": [cell | {"metadata": {"execution": {}}}]}) == ["cell 0: metadata execution"]
    assert traces(clean | {"metadata": {"widgets": {}}}) == ["metadata widgets"]


@pytest.mark.parametrize("source", ["from a import _b", "import a._b", "from a._b import c", "a._b()"])
def test_private_names_are_found(source):
    assert private(source) == ["_b"]
