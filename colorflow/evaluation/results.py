"""results.json: means and intervals over per-page rows, written and read.

``{"protocol": {...}, "rows": [{"method", "style", "n", "metrics", "intervals", "chapters"}], "incomplete": [{"method",
"style", "reason", "failed"}], "pages": [...]}``; a row's ``chapters`` are the values of metrics of whole chapters,
``{metric: {chapter: value}}``; incomplete rows stand in tables without numbers.
Both have a ``label``, which results of older versions lack.
JSON has no infinity: in the file it is the string ``"inf"``, in Python a float.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from colorflow.utils.files import write_json_atomic
from colorflow.utils.images import natural_key
from colorflow.utils.seeding import stable_seed

Results = dict[str, Any]
"""What results.json holds."""

Row = dict[str, Any]
"""A row of results.json, of a method or of a page."""

Key = tuple[str, str]
"""Row name and style."""

GRAY_COPY = "gray_copy"

PAGE_KEY = ("method", "style", "chapter", "page")
PAGE_SOURCES = ("seed", "prediction_sha256", "target_sha256")
"""What stands before and behind the metrics in the row of a page."""


class ResultsError(ValueError):
    """A results.json that cannot be used; the message says what to do."""


@dataclass(frozen=True)
class Bootstrap:
    """Percentile intervals of the mean over pages, whole chapters drawn with replacement.

    Chapters and not pages: pages of one chapter are alike. Every row is drawn by the same seed.

    Attributes:
        samples: Draws (our choice: 2,000 leave about 0.5 % of the interval's width as noise).
        confidence: Probability the interval covers.
        seed: Seed of the draws.
    """

    samples: int = 2000
    confidence: float = 0.95
    seed: int = 0

    def describe(self) -> dict[str, Any]:
        """As JSON, for the protocol."""
        return {"method": "bootstrap over chapters, percentile", **self.__dict__}

    def interval(self, values: Mapping[str, Sequence[float]]) -> list[float] | None:
        """Return [low, high] of the mean over pages.

        Args:
            values: The pages' values by chapter; ``inf`` is legal.

        Returns:
            None for fewer than two chapters: one says nothing of the spread over chapters.
        """
        if len(values) < 2:
            return None
        chapters = [np.asarray(values[name], dtype=np.float64) for name in sorted(values, key=natural_key)]
        random = np.random.default_rng(stable_seed("bootstrap", self.seed))
        counts = random.multinomial(len(chapters), np.full(len(chapters), 1 / len(chapters)), size=self.samples)
        finite = np.array([math.fsum(pages[np.isfinite(pages)]) for pages in chapters])
        infinite = np.array([np.isinf(pages).any() for pages in chapters])
        means = (counts @ finite) / (counts @ np.array([len(pages) for pages in chapters]))
        means[(counts @ infinite) > 0] = math.inf
        tail = (1 - self.confidence) / 2
        low, high = np.quantile(means, [tail, 1 - tail], method="inverted_cdf")
        return [float(low), float(high)]


def build_results(
    pages: Iterable[Row],
    protocol: Mapping[str, Any],
    bootstrap: Bootstrap,
    sets: Mapping[Key, Mapping[str, float]] | None = None,
    chapters: Mapping[Key, Mapping[str, Mapping[str, float]]] | None = None,
    incomplete: Sequence[Row] = (),
) -> Results:
    """Reduce per-page rows to one row a method and style.

    The outcome does not depend on the order of pages within a row; rows come in the order of first
    appearance, the gray copy first.

    Args:
        pages: Rows of ``score``.
        protocol: As ``describe_run`` gives it.
        bootstrap: How the intervals are made.
        sets: Metrics of all pages of a (method, style); they have no interval.
        chapters: Metrics of a chapter, by (method, style), metric and chapter; a row has them, and their mean over
            chapters with an interval.
        incomplete: Rows without numbers, with their reasons.
    """
    groups: dict[Key, list[Row]] = {}
    for page in pages:
        groups.setdefault((page["method"], page["style"]), []).append(page)
    ordered = sorted(groups, key=lambda key: key[0] != GRAY_COPY)
    for group in groups.values():
        group.sort(key=lambda page: (natural_key(page["chapter"]), natural_key(page["page"])))
    rows = [_row(key, groups[key], bootstrap) for key in ordered]
    for key, row in zip(ordered, rows, strict=True):
        _add_set_metrics(row, (sets or {}).get(key, {}), (chapters or {}).get(key, {}), bootstrap)
    pages = [page for key in ordered for page in groups[key]]
    return {"protocol": dict(protocol), "rows": rows, "incomplete": list(incomplete), "pages": pages}


def write_results(results: Results, path: Path) -> None:
    """Write results.json atomically, strict JSON."""
    write_json_atomic(_swapped(results, math.inf, "inf"), path)


def read_results(path: Path) -> Results:
    """Read results.json.

    Raises:
        ResultsError: For a file that is missing or of another form.
    """
    if not path.is_file():
        raise ResultsError(f"expected {path}, found none; run stage=score first")
    try:
        loaded = json.loads(path.read_text(encoding="utf-8"))
        if not {"protocol", "rows", "pages"} <= set(loaded):
            raise ValueError(f"keys {sorted(loaded)}")
    except (ValueError, TypeError) as error:
        raise ResultsError(f"{path}: expected protocol, rows and pages, got {error}; run stage=score again") from error
    for row in loaded["rows"]:
        kept = {part: row[part] for part in ("metrics", "intervals", "chapters") if part in row}
        row |= _swapped(kept, "inf", math.inf)
    for page in loaded["pages"]:
        page |= _swapped({name: page[name] for name in page_metric_names(page)}, "inf", math.inf)
    return {"incomplete": [], **loaded}  # older files have none


def page_metric_names(page: Row) -> list[str]:
    """The keys of the metrics of a page."""
    return [name for name in page if name not in (*PAGE_KEY, *PAGE_SOURCES)]


def _add_set_metrics(
    row: Row, sets: Mapping[str, float], chapters: Mapping[str, Mapping[str, float]], bootstrap: Bootstrap
) -> None:
    row["metrics"] |= sets
    row["chapters"] = {name: dict(values) for name, values in chapters.items() if values}
    for name, values in row["chapters"].items():
        row["metrics"][name] = math.fsum(values.values()) / len(values)
        row["intervals"][name] = bootstrap.interval({chapter: [value] for chapter, value in values.items()})


def _row(key: Key, pages: Sequence[Row], bootstrap: Bootstrap) -> Row:
    names = page_metric_names(pages[0])
    by_chapter: dict[str, list[Row]] = {}
    for page in pages:
        by_chapter.setdefault(page["chapter"], []).append(page)
    return {
        "method": key[0],
        "style": key[1],
        "n": len(pages),
        "metrics": {name: math.fsum(page[name] for page in pages) / len(pages) for name in names},
        "intervals": {
            name: bootstrap.interval({chapter: [page[name] for page in group] for chapter, group in by_chapter.items()})
            for name in names
        },
    }


def _swapped(value: Any, old: Any, new: Any) -> Any:
    """The same with one value in the place of another, at any depth: infinity as "inf" in the file, and back."""
    if isinstance(value, dict):
        return {key: _swapped(item, old, new) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_swapped(item, old, new) for item in value]
    return new if value == old else value
