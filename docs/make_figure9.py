"""Draw the retrieval figure of docs: ``python docs/make_figure9.py``; HOG on generated characters."""

from __future__ import annotations

import tempfile
from pathlib import Path

from PIL import Image

from colorflow.evaluation.retrieval_study.study import FIGURE, RetrievalStudy
from colorflow.retrieval.settings import RetrievalSettings
from colorflow.utils.images import save_png


def main() -> None:
    """Write ``docs/assets/figure9.png``; 256 colours are enough for flat pictures."""
    with tempfile.TemporaryDirectory() as folder:
        RetrievalStudy((RetrievalSettings(kind="hog"),)).run(Path(folder))
        picture = Image.open(Path(folder) / FIGURE).quantize(256)
    save_png(picture, Path(__file__).parent / "assets" / "figure9.png")


if __name__ == "__main__":
    main()
