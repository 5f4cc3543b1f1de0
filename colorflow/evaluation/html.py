"""The report page: one HTML file without scripts or remote parts, light and dark, pictures by relative links."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from colorflow.evaluation.tables import COLUMNS, Line, caption, columns, label, lines


@dataclass(frozen=True)
class Figure:
    """One picture of the page: heading, relative link (None where missing), size, note."""

    title: str
    link: str | None
    size: tuple[int, int]
    note: str


@dataclass(frozen=True)
class Strip:
    """The pictures of one benchmark page."""

    page: str
    style: str
    figures: tuple[Figure, ...]


def html_page(results: Mapping[str, Any], strips: Sequence[Strip]) -> str:
    """Return the whole page.

    Args:
        results: As ``build_results`` gives them.
        strips: Pictures to show, in order.
    """
    name = escape(results["protocol"]["benchmark"]["name"])
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Colorization benchmark: {name}</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<header>
<p class="kicker">Reference-based comic colorization</p>
<h1>{name}</h1>
<p class="caption">{escape(caption(results))}</p>
</header>
<section aria-labelledby="scores">
<h2 id="scores">Scores</h2>
{_table(results)}
</section>
<section aria-labelledby="pictures">
<h2 id="pictures">Pictures</h2>
<p class="caption">Pages spread evenly over the benchmark, not picked for their results. A picture opens in full.</p>
{"".join(_strip(strip) for strip in strips)}
</section>
<section aria-labelledby="pages">
<h2 id="pages">Every page</h2>
{_pages(results)}
</section>
<section aria-labelledby="protocol">
<h2 id="protocol">How it was measured</h2>
{_protocol(results["protocol"])}
</section>
</main>
</body>
</html>
"""


def _table(results: Mapping[str, Any]) -> str:
    heads = "".join(
        f'<th scope="col" class="number">{escape(COLUMNS[name].label)}&nbsp;{COLUMNS[name].arrow}</th>'
        for name in columns(results)
    )
    body = "".join(_line(line) for line in lines(results))
    return (
        '<div class="scroll" tabindex="0" role="region" aria-labelledby="scores"><table><thead><tr>'
        '<th scope="col">method</th><th scope="col">input</th><th scope="col" class="number">pages</th>'
        f"{heads}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _line(line: Line) -> str:
    cells = "".join(
        f'<td class="number{" best" if cell.best else ""}">{cell.text}'
        f"{f'<small>{cell.interval}</small>' if cell.interval else ''}</td>"
        for cell in line.cells
    )
    return (
        f'<tr{" class=paper" if line.paper else ""}><th scope="row">{escape(line.label)}</th>'
        f'<td>{escape(line.style)}</td><td class="number">{line.n or "&ndash;"}</td>{cells}</tr>'
    )


def _strip(strip: Strip) -> str:
    figures = "".join(_figure(figure, strip.page) for figure in strip.figures)
    heading = f"{escape(strip.page)} <span>{escape(strip.style)}</span>"
    return (
        f'<article><h3>{heading}</h3><div class="strip" tabindex="0" role="region" aria-label="Pictures of page '
        f'{escape(strip.page)}">{figures}</div></article>'
    )


def _figure(figure: Figure, page: str) -> str:
    text = f"<figcaption><b>{escape(figure.title)}</b><span>{escape(figure.note)}</span></figcaption>"
    if figure.link is None:
        return f'<figure><div class="missing">missing</div>{text}</figure>'
    link, (width, height) = escape(figure.link), figure.size
    return (
        f'<figure><a href="{link}"><img src="{link}" width="{width}" height="{height}" loading="lazy" '
        f'alt="{escape(figure.title)}, page {escape(page)}"></a>{text}</figure>'
    )


def _pages(results: Mapping[str, Any]) -> str:
    names = [name for name in COLUMNS if results["pages"] and name in results["pages"][0]]
    heads = "".join(f'<th scope="col" class="number">{escape(COLUMNS[name].label)}</th>' for name in names)
    parts = []
    for row in results["rows"]:
        pages = [page for page in results["pages"] if (page["method"], page["style"]) == (row["method"], row["style"])]
        body = "".join(
            f'<tr><th scope="row">{escape(page["chapter"])}/{escape(page["page"])}</th>'
            + "".join(f'<td class="number">{COLUMNS[name].format(page[name])}</td>' for name in names)
            + "</tr>"
            for page in pages
        )
        parts.append(
            f"<details><summary>{escape(label(row['method']))} <span>{escape(row['style'])}, {row['n']} pages</span>"
            f'</summary><div class="scroll"><table><thead><tr><th scope="col">page</th>{heads}</tr></thead>'
            f"<tbody>{body}</tbody></table></div></details>"
        )
    return "".join(parts)


def _protocol(protocol: Mapping[str, Any]) -> str:
    items = {
        "Sizes": protocol["resize"],
        **{COLUMNS[name].label: text for name, text in protocol["definitions"].items() if name in COLUMNS},
        "SSIM window": protocol["ssim_window"],
        "Protocol": f"version {protocol['version']}, sha256 {protocol['sha256'][:16]}",
        "Benchmark": f"sha256 {protocol['benchmark']['sha256'][:16]}",
        "Versions": ", ".join(f"{name} {number}" for name, number in protocol["versions"].items()),
    }
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(str(text))}</dd>" for name, text in items.items())
    return f"<dl>{rows}</dl>"


_STYLE = """
:root { --ink: #1b1f24; --faint: #5b6570; --line: #d8dee4; --page: #f6f7f9; --card: #ffffff; --best: #0b6e4f;
  --best-back: #e3f5ec; --focus: #2563eb; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ed; --faint: #9aa5b1; --line: #333b45; --page: #111418; --card: #1a1f25; --best: #6fe0b0;
    --best-back: #14352a; --focus: #7aa8ff; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 1240px; margin: 0 auto; padding: 40px 24px 64px; }
h1 { margin: 0; font-size: 34px; line-height: 1.2; letter-spacing: -0.02em; overflow-wrap: anywhere; }
h2 { margin: 40px 0 12px; font-size: 20px; }
h3 { margin: 0 0 10px; font-size: 15px; }
h3 span, summary span { color: var(--faint); font-weight: 400; }
.kicker { margin: 0 0 4px; color: var(--faint); font-size: 14px; }
.caption { margin: 8px 0 16px; max-width: 80ch; color: var(--faint); font-size: 14px; }
.scroll { overflow-x: auto; background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
table { width: 100%; border-collapse: collapse; font-size: 15px; }
th, td { padding: 10px 16px; text-align: left; border-bottom: 1px solid var(--line); vertical-align: top; }
thead th { color: var(--faint); font-size: 13px; font-weight: 600; white-space: nowrap; }
tbody tr:last-child > * { border-bottom: 0; }
tbody th { font-weight: 600; white-space: nowrap; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td small { display: block; color: var(--faint); font-size: 12px; }
.best { color: var(--best); background: var(--best-back); font-weight: 700; }
.best small { font-weight: 400; }
tr.paper > * { color: var(--faint); font-weight: 400; font-style: italic; }
article { margin: 0 0 20px; padding: 16px; background: var(--card); border: 1px solid var(--line);
  border-radius: 10px; }
.strip { display: flex; gap: 14px; overflow-x: auto; padding: 1px 1px 6px; }
figure { flex: 1 1 0; min-width: 150px; max-width: 340px; margin: 0; }
figure img { display: block; width: 100%; height: auto; border-radius: 4px; }
.missing { display: grid; place-items: center; aspect-ratio: 5 / 7; border: 1px dashed var(--line);
  border-radius: 4px; color: var(--faint); }
figcaption { display: flex; flex-direction: column; margin-top: 8px; font-size: 13px; line-height: 1.35; }
figcaption b { font-weight: 600; }
figcaption span { color: var(--faint); font-variant-numeric: tabular-nums; }
details { margin: 0 0 8px; }
summary { padding: 8px 2px; font-weight: 600; cursor: pointer; }
details th, details td { padding: 5px 16px; font-size: 14px; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 6px 20px; margin: 0; font-size: 14px; }
dt { font-weight: 600; }
dd { margin: 0; color: var(--faint); overflow-wrap: anywhere; }
:focus-visible { outline: 2px solid var(--focus); outline-offset: 2px; }
@media (max-width: 600px) { main { padding: 24px 14px 48px; } dl { grid-template-columns: 1fr; }
  dd { margin-bottom: 8px; } }
"""
