"""What a build of shards did: counts, what was left out and why, and how similar the patches are that it found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from colorflow.data.chapters import Skip, SkipReport
from colorflow.schema import RANKS, RetrievedPatch
from colorflow.utils.files import write_json_atomic
from colorflow.utils.log import get_logger

REPORT, PICTURE, SKIPPED = "report.json", "report.png", "skipped.json"
BINS = 50
"""Of the histogram of similarities, between 0 and 1."""

_log = get_logger(__name__)


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
        """Write ``report.json``, ``skipped.json`` and, with matplotlib, ``report.png``."""
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
        _draw(self, folder / PICTURE)


def _draw(report: BuildReport, path: Path) -> None:
    """Draw counts, reasons for leaving out, and the histogram of patch similarity, where matplotlib is installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        _log.info("%s is left out: it needs matplotlib", path.name)
        return
    figure = Figure(figsize=(7.2, 4.4), layout="constrained")
    axes = figure.add_subplot(xlabel="cosine similarity of recorded patches", ylabel="share of patches")
    axes.set_title("\n".join(_lines(report)), loc="left", fontsize="medium")
    for name, counts in zip(("best", "second", "third"), report.similarities, strict=True):
        axes.stairs(counts / max(1, counts.sum()), np.linspace(0, 1, BINS + 1), label=f"{name} match")
    axes.legend()
    figure.savefig(path)


def _lines(report: BuildReport) -> list[str]:
    lines = [
        f"{split}: {counts['samples']:,} pages of {counts['chapters']:,} chapters in {counts['shards']:,} shards"
        for split, counts in sorted(report.splits.items())
    ]
    skipped = ", ".join(f"{kind} {count:,}" for kind, count in report.skipped.counts().items())
    return [*lines, f"left out of {report.files:,} files: {skipped or 'nothing'}"]
