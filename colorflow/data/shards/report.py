"""What a build of shards did: counts, what was left out and why, and how similar the patches are that it found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from colorflow.data.chapters import Skip, SkipReport
from colorflow.schema import RANKS, RetrievedPatch
from colorflow.utils.files import write_json_atomic
from colorflow.utils.images import save_png

REPORT, PICTURE, SKIPPED = "report.json", "report.png", "skipped.json"
BINS = 50
"""Of the histogram of similarities, between 0 and 1."""

_COLORS = ("#1f5fa8", "#e08a2b", "#7a9a3a")
_INK, _FAINT = "#222222", "#9a9a9a"
_PLOT, _ROOM, _FINE = (600, 220), 60, 2


def count_similarities(patches: Sequence[RetrievedPatch]) -> list[list[int]]:
    """Return the histogram of each rank: `BINS` counts from 0 to 1; below 0 counts as 0, NaN not at all."""
    values = np.array([patch.similarity for patch in patches], dtype=float)
    ranks = np.array([patch.rank for patch in patches], dtype=int)
    compared = np.isfinite(values)
    return [
        np.histogram(values[compared & (ranks == rank)].clip(0, 1), BINS, (0, 1))[0].tolist() for rank in range(RANKS)
    ]


@dataclass
class BuildReport:
    """Counts over the records of all chapters, added one by one.

    Attributes:
        splits: ``chapters`` with samples, ``samples`` and ``shards`` by split.
        files: Picture files found.
        skips: What was left out.
        similarities: Histogram of each rank, see `count_similarities`.
    """

    splits: dict[str, dict[str, int]] = field(default_factory=dict)
    files: int = 0
    skips: list[Skip] = field(default_factory=list)
    similarities: np.ndarray = field(default_factory=lambda: np.zeros((RANKS, BINS), dtype=np.int64))
    _digests: dict[str, list[str]] = field(default_factory=dict)
    _copies: list[str] = field(default_factory=list)

    def add(self, split: str, chapters: Sequence[dict[str, Any]]) -> None:
        """Count a shard's chapters; validation shards come first, so that copies of their pages are found."""
        counts = self.splits.setdefault(split, {"chapters": 0, "samples": 0, "shards": 0})
        samples = sum(len(chapter["pages"]) for chapter in chapters)
        counts["chapters"] += sum(bool(chapter["pages"]) for chapter in chapters)
        counts["samples"] += samples
        counts["shards"] += samples > 0
        for chapter in chapters:
            self.files += chapter["files"]
            self.skips += [Skip(**skip) for skip in chapter["skips"]]
            self.similarities += np.array(chapter["similarities"])
            for page, digest in chapter["pages"].items():
                if split == "val":
                    self._digests.setdefault(digest, []).append(f"{chapter['chapter']}/{page}")
                else:
                    self._copies += self._digests.pop(digest, [])

    @property
    def copies(self) -> list[str]:
        """Validation pages whose very file is also in a training chapter."""
        return sorted(self._copies)

    @property
    def skipped(self) -> SkipReport:
        """What was left out."""
        return SkipReport(self.files, tuple(self.skips))

    def write(self, folder: Path) -> None:
        """Write ``report.json``, ``report.png`` and ``skipped.json``."""
        self.skipped.write(folder / SKIPPED)
        content = {
            "files": self.files,
            "splits": dict(sorted(self.splits.items())),
            "skipped": self.skipped.counts(),
            "val_pages_in_training_chapters": self.copies,
            "patch_similarity": {
                "edges": [round(edge, 4) for edge in np.linspace(0, 1, BINS + 1).tolist()],
                "counts": {f"rank {rank}": counts for rank, counts in enumerate(self.similarities.tolist())},
            },
        }
        write_json_atomic(content, folder / REPORT)
        save_png(draw_report(self), folder / PICTURE)


def draw_report(report: BuildReport) -> Image.Image:
    """Draw counts, reasons for leaving out, and the histogram of patch similarity."""
    width, height = _PLOT
    lines = _lines(report)
    size = (width + 2 * _ROOM, height + 2 * _ROOM + 20 * len(lines))
    picture = Image.new("RGB", (size[0] * _FINE, size[1] * _FINE), "white")
    draw = ImageDraw.Draw(picture)
    for number, line in enumerate(lines):
        _write(draw, (_ROOM, 20 + 20 * number), line, _INK)
    bottom = size[1] - _ROOM
    _draw_histogram(draw, report.similarities, bottom)
    return picture.reduce(_FINE)


def _lines(report: BuildReport) -> list[str]:
    lines = [
        f"{split}: {counts['samples']:,} pages of {counts['chapters']:,} chapters in {counts['shards']:,} shards"
        for split, counts in sorted(report.splits.items())
    ]
    skipped = ", ".join(f"{kind} {count:,}" for kind, count in report.skipped.counts().items())
    return [*lines, f"left out of {report.files:,} files: {skipped or 'nothing'}"]


def _draw_histogram(draw: ImageDraw.ImageDraw, counts: np.ndarray, bottom: int) -> None:
    """One line of steps for each rank, as shares of its patches."""
    width, height = _PLOT
    totals = counts.sum(1, keepdims=True)
    if not totals.any():
        _write(draw, (_ROOM, bottom - height // 2), "nothing was compared: no similarities", _FAINT)
        return
    shares = counts / np.maximum(totals, 1)
    top = shares.max()
    for rank, share in enumerate(shares):
        points = [
            (_ROOM + width * (place + side) / BINS, bottom - height * value / top)
            for place, value in enumerate(share)
            for side in (0, 1)
        ]
        draw.line([(x * _FINE, y * _FINE) for x, y in points], _COLORS[rank], 2 * _FINE)
        name = ("best", "second", "third")[rank]
        _write(draw, (_ROOM + 8, bottom - height + 20 * rank), f"{name} match", _COLORS[rank])
    draw.line([_ROOM * _FINE, bottom * _FINE, (_ROOM + width) * _FINE, bottom * _FINE], _FAINT, _FINE)
    for tick in range(0, 11, 2):
        _write(draw, (_ROOM + width * tick // 10, bottom + 14), f"{tick / 10:.1f}", _INK, "mm")
    _write(draw, (_ROOM + width // 2, bottom + 36), "cosine similarity of recorded patches", _INK, "mm")
    _write(draw, (_ROOM - 6, bottom - height), f"{top:.0%}", _INK, "rm")


def _write(draw: ImageDraw.ImageDraw, place: tuple[int, int], text: str, fill: str, anchor: str = "lm") -> None:
    where = (place[0] * _FINE, place[1] * _FINE)
    draw.text(where, text, fill=fill, font=ImageFont.load_default(14 * _FINE), anchor=anchor)
