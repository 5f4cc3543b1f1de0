"""The paper's own numbers, to stand beside ours (arXiv 2412.11815 v2, tables 1 and 6).

Only on the paper's benchmark would they be comparable; it was never released, so they are shown
for benchmarks in its shape alone, marked as printed, with no metric settings known.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SOURCE = "ColorFlow, arXiv 2412.11815 v2, table 1"

SHAPE = {"chapters": 30, "pages": [50], "references": [40]}
"""Of the paper's benchmark (section 4.1), in the form of ``Benchmark.shape``."""

_COLUMNS = ("clip_is", "fid", "psnr", "ssim", "aesthetic")

_TABLE_1: dict[str, dict[str, tuple[float, ...]]] = {
    "screenstyle": {
        "MC-v2": (0.8632, 48.37, 13.50, 0.6987, 4.753),
        "ACDO": (0.8687, 39.38, 15.75, 0.7672, 4.540),
        "EBMC": (0.8542, 38.77, 15.21, 0.7592, 4.605),
        "ScreenVAE": (0.7328, 98.52, 9.12, 0.5373, 4.160),
        "ColorFlow": (0.9419, 13.37, 25.88, 0.9541, 4.924),
    },
    "gray": {
        "MC-v2": (0.8833, 33.14, 17.20, 0.8396, 4.845),
        "ACDO": (0.8970, 28.12, 21.77, 0.9516, 4.686),
        "EBMC": (0.8859, 19.48, 20.80, 0.9474, 4.702),
        "ColorFlow": (0.9433, 12.17, 26.01, 0.9579, 5.011),
    },
}


def paper_rows(benchmark: Mapping[str, Any], styles: set[str]) -> list[dict[str, Any]]:
    """Return table 1 as rows of the results' form (no n, no intervals).

    Args:
        benchmark: What ``results.json`` says of it; any shape but the paper's gets no rows, whatever its name.
        styles: Styles that the results have.
    """
    if benchmark.get("shape") != SHAPE:
        return []
    return [
        {"method": method, "style": style, "metrics": dict(zip(_COLUMNS, values, strict=True))}
        for style, methods in _TABLE_1.items()
        if style in styles
        for method, values in methods.items()
    ]


USER_STUDY_SOURCE = "ColorFlow, arXiv 2412.11815 v2, table 6"

USER_STUDY: dict[str, dict[str, float]] = {
    "aesthetic": {"ColorFlow": 4.577, "EBMC": 3.141, "MC-v2": 2.891, "ACDO": 2.844, "ScreenVAE": 1.547},
    "similarity": {"ColorFlow": 4.673, "EBMC": 3.316, "MC-v2": 2.984, "ACDO": 2.642, "ScreenVAE": 1.385},
    "consistency": {"ColorFlow": 4.538, "EBMC": 3.399, "MC-v2": 3.215, "ACDO": 2.540, "ScreenVAE": 1.308},
}
"""Table 6: mean of 5 to 1 points for rank 1 to 5, over 4,000 rankings."""
