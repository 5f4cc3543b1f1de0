"""Parts of the demo's page as HTML: uploaded pictures, what the model looks at, words to the visitor."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape

from PIL import Image

from colorflow.canvas import Box, Size, query_box, slot_box
from colorflow.demo.uploads import Upload, Uploads
from colorflow.demo.versions import Version, within
from colorflow.pipelines.output import LookUp
from colorflow.schema import QUADRANTS, RetrievedPatch
from colorflow.utils.strips import contain

CORNERS = ("top left", "top right", "bottom left", "bottom right")
_VIEWS = ("whole page", *(f"{corner} part" for corner in CORNERS))
_RANKS = ("Best match", "Second", "Third")
_SHOWN = (1000, 1600)
_RESULT = (360, 480)


def data_uri(image: Image.Image) -> str:
    """A picture as part of the page itself."""
    file = io.BytesIO()
    image.convert("RGB").save(file, "JPEG", quality=88)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


def notice(text: str, kind: str = "info") -> str:
    """Words to the visitor, a paragraph a line: ``info``, ``good`` or ``bad``."""
    role = "alert" if kind == "bad" else "status"
    lines = "".join(f"<p>{escape(line)}</p>" for line in text.splitlines())
    return f'<div class="cf-notice cf-{kind}" role="{role}">{lines}</div>'


def uploads(found: Uploads, expects_color: bool) -> str:
    """Thumbnails of what was taken, with what is odd about it, and the words about what was not.

    Args:
        found: What came of the files.
        expects_color: Whether they are references.
    """
    cards = "".join(_card(item, expects_color) for item in found.accepted)
    strip = f'<ul class="cf-strip">{cards}</ul>' if cards else ""
    return strip + (notice("\n".join(["Left out:", *found.refused]), "bad") if found.refused else "")


def _card(item: Upload, expects_color: bool) -> str:
    oddity = ""
    if item.colored != expects_color:
        oddity = "black and white: tells no colours" if expects_color else "in colour: stays as it is, and is looked at"
    return (
        f'<li><img src="{data_uri(item.thumbnail)}" alt=""><span>{escape(item.page.name)}</span>'
        f"<small>{item.size[0]} × {item.size[1]}</small>{f'<em>{oddity}</em>' if oddity else ''}</li>"
    )


def summary(version: Version, seconds: float) -> str:
    """What was done, in words."""
    report = version.report
    count, done = len(version.pages), len(report.colored)
    lines = [f"{version.title}. {done} of {count} {'page' if count == 1 else 'pages'} coloured in {seconds:.0f} s."]
    if version.stopped:
        lines[0] = f"{version.title}. Stopped: {done} of {count} pages are coloured."
    if report.passed_through:
        lines.append(f"In colour already, kept as they are: {', '.join(_short(id) for id in report.passed_through)}.")
    lines += [f"{_short(id)}: {remark}" for id, remark in report.warnings.items()]
    lines += [f"{_short(id)} could not be coloured. {reason}" for id, reason in report.failures.items()]
    return notice("\n".join(lines), "bad" if report.failures else "info" if version.stopped else "good")


def _short(page_id: str) -> str:
    return page_id.rpartition("/")[2]


def results(version: Version) -> str:
    """The pages of a version that are done, small."""
    cards = []
    for name in version.results():
        with Image.open(version.for_screen(name)[1]) as picture:
            cards.append(
                f'<li><img src="{data_uri(contain(picture, _RESULT))}" alt=""><span>{escape(name)}</span></li>'
            )
    return f'<ul class="cf-results">{"".join(cards)}</ul>' if cards else ""


def looks(shown: Sequence[LookUp]) -> str:
    """The canvases of a page as the model sees them, every patch marked with the corner that it was found for."""
    if not any(one.retrieved for one in shown):
        return notice("No reference is used for this page: the model has to guess its colours.")
    count = len(shown)
    return "".join(_look(one, f"Part {number} of {count}" if count > 1 else "") for number, one in enumerate(shown, 1))


def _look(shown: LookUp, title: str) -> str:
    canvas = shown.canvas.size
    size = (canvas[0] // 2, canvas[1] // 2)
    corners = "".join(
        f'<i class="cf-corner cf-{name}" style="{_place(_corner(size, number), canvas)}"></i>'
        for number, name in enumerate(QUADRANTS)
    )
    slots = "".join(_slot(patch, size, canvas) for patch in shown.retrieved)
    picture = within(shown.canvas, _SHOWN)
    return (
        f"{f'<h4>{title}</h4>' if title else ''}"
        f'<div class="cf-look"><div class="cf-canvas" style="aspect-ratio:{size[0]}/{size[1]}">'
        f'<img src="{data_uri(picture)}" alt="The page in the middle, the parts of reference pages around it">'
        f"{corners}{slots}</div>{_table(shown.retrieved)}</div>"
    )


def _corner(size: Size, number: int) -> Box:
    """A corner of the page on its canvas: three quarters of each side, as retrieval compares them."""
    left, top, _, _ = query_box(size)
    across, down = size[0] // 4, size[1] // 4
    left, top = left + (number % 2) * across, top + (number // 2) * down
    return left, top, left + 3 * across, top + 3 * down


def _slot(patch: RetrievedPatch, size: Size, canvas: Size) -> str:
    words = f"{_RANKS[patch.rank]} for the {CORNERS[patch.quadrant]} of the page: {_name(patch)}{_alike(patch, ', ')}"
    return (
        f'<b class="cf-slot cf-{QUADRANTS[patch.quadrant]}" tabindex="0" title="{escape(words)}" '
        f'style="{_place(slot_box(size, patch.quadrant, patch.rank), canvas)}"><span>{patch.rank + 1}</span></b>'
    )


def _place(box: Box, canvas: Size) -> str:
    """A box in shares of the canvas, so that it keeps its place at any size on the screen."""
    left, top, right, bottom = box
    across, down = 100 / canvas[0], 100 / canvas[1]
    return (
        f"left:{left * across:.2f}%;top:{top * down:.2f}%;"
        f"width:{(right - left) * across:.2f}%;height:{(bottom - top) * down:.2f}%"
    )


def _table(retrieved: Sequence[RetrievedPatch]) -> str:
    rows = []
    for number, corner in enumerate(CORNERS):
        found = sorted((patch for patch in retrieved if patch.quadrant == number), key=lambda patch: patch.rank)
        cells = "".join(f"<td>{escape(_name(patch))}<small>{_alike(patch)}</small></td>" for patch in found)
        rows.append(f'<tr><th scope="row" class="cf-{QUADRANTS[number]}"><i></i>{corner}</th>{cells}</tr>')
    heads = "".join(f'<th scope="col">{number} {name}</th>' for number, name in enumerate(_RANKS, 1))
    head = f'<thead><tr><th scope="col">Corner of your page</th>{heads}</tr></thead>'
    return f'<table class="cf-found">{head}<tbody>{"".join(rows)}</tbody></table>'


def _name(patch: RetrievedPatch) -> str:
    """Which page and which part of it; ids end in the page's name (`colorflow.colorize.chapter_run`)."""
    return f"{patch.reference.rpartition('/')[2]}, {_VIEWS[patch.patch]}"


def _alike(patch: RetrievedPatch, before: str = "") -> str:
    """How alike, where that was measured (NaN is not equal to itself)."""
    return f"{before}{patch.similarity:.2f} alike" if patch.similarity == patch.similarity else ""
