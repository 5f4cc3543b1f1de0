"""Which pages of a benchmark the report shows in pictures, and why each of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from colorflow.evaluation.bench.benchmark import Benchmark, BenchmarkPage
from colorflow.evaluation.report.tables import columns
from colorflow.evaluation.results import GRAY_COPY, Results, Row, page_metric_names
from colorflow.utils.strips import spread

EVEN_PAGES = 8
"""Pages taken evenly, at least; every chapter has one, up to ``EVEN_LIMIT``."""

EVEN_LIMIT = 40

EXTREME_PAGES = 4
"""Best and worst pages of each method, by each of ``ranking_metrics``."""


def shown_pages(results: Results, benchmark: Benchmark, style: str) -> list[tuple[BenchmarkPage, tuple[str, ...]]]:
    """Choose pages of one style.

    Args:
        results: As ``build_results`` gives them.
        benchmark: The pages.
        style: Whose scores decide.

    Returns:
        (page, tags) in benchmark order. Tags: ``even`` (not picked for a result), ``best:<metric>:<method>`` and
        ``worst:<metric>:<method>``.
    """
    tags: dict[BenchmarkPage, list[str]] = {page: ["even"] for page in even_pages(benchmark)}
    shown = columns(results)
    ranking = {name: shown[name].higher_is_better for name in ranking_metrics(results)}
    by_id = {(page.chapter, page.name): page for page in benchmark.pages}
    for method in dict.fromkeys(row["method"] for row in results["rows"] if row["style"] == style):
        rows = [row for row in results["pages"] if (row["method"], row["style"]) == (method, style)]
        for tag, row in _extremes(rows, ranking) if method != GRAY_COPY else ():
            page = by_id[row["chapter"], row["page"]]
            tags.setdefault(page, []).append(f"{tag}:{method}")
    return [(page, tuple(tags[page])) for page in sorted(tags, key=lambda page: page.index)]


def even_pages(benchmark: Benchmark) -> list[BenchmarkPage]:
    """Take pages from every chapter alike, the first and last of a chapter rarely."""
    each = -(-EVEN_PAGES // len(benchmark.chapters))
    chosen = []
    for chapter in benchmark.chapters:
        chosen += spread([page for page in benchmark.pages if page.chapter == chapter.name], each)
    return spread(chosen, EVEN_LIMIT)


def ranking_metrics(results: Results) -> list[str]:
    """What the reader can choose worst and best pages by: page metrics without network."""
    there = dict.fromkeys(name for page in results["pages"] for name in page_metric_names(page))
    shown, networks = columns(results), results["protocol"].get("networks", {})
    return [name for name in there if name in shown and name not in networks]


def _extremes(rows: Sequence[Row], ranking: Mapping[str, bool]) -> Iterator[tuple[str, Row]]:
    """Pages at both ends of each metric; none is both where there are few."""
    count = min(EXTREME_PAGES, len(rows) // 2)
    for metric, higher_is_better in ranking.items():
        if not all(metric in row for row in rows):
            continue
        ranked = sorted(rows, key=lambda row: row[metric], reverse=not higher_is_better)
        yield from ((f"worst:{metric}", row) for row in ranked[:count])
        yield from ((f"best:{metric}", row) for row in ranked[len(ranked) - count :])
