"""Execute the notebooks and keep what they show for docs: ``python docs/make_notebook_pictures.py [NOTEBOOK ...]``.

Needs the extra ``dev``. What a cell tagged ``picture:NAME`` shows becomes ``docs/assets/NAME.png``. The notebooks
themselves stay as they are, without outputs.
"""

from __future__ import annotations

import base64
import io
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from PIL import Image

from colorflow.utils.images import save_png

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
TAG = "picture:"


def execute(path: Path, last: str = "") -> NotebookNode:
    """Run a notebook from start to end, in a process and with the folder of its own.

    Args:
        path: The file.
        last: Code of one more cell at the end.

    Returns:
        The notebook with its outputs.

    Raises:
        nbclient.exceptions.CellExecutionError: With the cell and its error.
    """
    notebook = nbformat.read(path, as_version=4)
    if last:
        notebook.cells.append(nbformat.v4.new_code_cell(last))
    place = {"metadata": {"path": str(path.parent)}}
    return NotebookClient(notebook, timeout=300, kernel_name="python3", resources=place).execute()


def pictures(notebook: NotebookNode) -> dict[str, Image.Image]:
    """What the tagged cells of an executed notebook show, by name; the last picture of each."""
    found = {}
    for cell in notebook.cells:
        outputs = [output.get("data", {}) for output in cell.get("outputs", ())]
        shown = [data["image/png"] for data in outputs if "image/png" in data]
        for tag in cell.metadata.get("tags", ()):
            if tag.startswith(TAG):
                found[tag.removeprefix(TAG)] = Image.open(io.BytesIO(base64.b64decode(shown[-1]))).convert("RGB")
    return found


def main() -> None:
    """Write the pictures of the named notebooks, else of all, in 256 colours (chosen by means, else rare hues go)."""
    for path in map(Path, sys.argv[1:] or sorted(NOTEBOOKS.glob("*.ipynb"))):
        for name, picture in pictures(execute(path.resolve())).items():
            save_png(picture.quantize(256, kmeans=1), Path(__file__).parent / "assets" / f"{name}.png")


if __name__ == "__main__":
    main()
