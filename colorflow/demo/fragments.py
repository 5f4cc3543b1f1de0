"""Parts of the demo's page as HTML: uploaded pictures, what the model looks at, words to the visitor."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from colorflow.canvas import Box, Size, query_box, slot_box
from colorflow.demo.uploads import Uploads
from colorflow.demo.versions import Version, within
from colorflow.pipelines.output import LookUp
from colorflow.schema import QUADRANTS, RetrievedPatch
from colorflow.utils.strips import contain

_CORNERS = ("top left", "top right", "bottom left", "bottom right")
_VIEWS = ("whole page", *(f"{corner} part" for corner in _CORNERS))
_RANKS = ("Best match", "Second", "Third")
_SHOWN = (1000, 1600)
_RESULT = (360, 480)


def notice(text: str, kind: str = "info") -> str:
    """Words to the visitor, a paragraph a line: ``info``, ``good`` or ``bad``."""
    return str(_parts().notice(text, kind))


def uploads(found: Uploads, expects_color: bool) -> str:
    """Thumbnails of what was taken, with what is odd about it, and the words about what was not.

    Args:
        found: What came of the files.
        expects_color: Whether they are references.
    """
    return str(_parts().uploads(found, expects_color))


def summary(version: Version, seconds: float) -> str:
    """What was done, in words."""
    report = version.report
    count, done = len(version.pages), len(report.colored)
    lines = [f"{version.title}. {done} of {count} {'page' if count == 1 else 'pages'} coloured in {seconds:.0f} s."]
    if version.stopped:
        lines[0] = f"{version.title}. Stopped: {done} of {count} pages are coloured."
    if report.passed_through:
        lines.append(
            f"In colour already, kept as they are: {', '.join(id.rpartition('/')[2] for id in report.passed_through)}."
        )
    lines += [f"{id.rpartition('/')[2]}: {remark}" for id, remark in report.warnings.items()]
    lines += [f"{id.rpartition('/')[2]} could not be coloured. {reason}" for id, reason in report.failures.items()]
    return notice("\n".join(lines), "bad" if report.failures else "info" if version.stopped else "good")


def results(version: Version) -> str:
    """The pages of a version that are done, small; empty for none."""
    pictures = {}
    for name in version.results():
        with Image.open(version.for_screen(name)[1]) as picture:
            pictures[name] = _data_uri(contain(picture, _RESULT))
    return str(_parts().results(pictures))


def looks(shown: Sequence[LookUp]) -> str:
    """The canvases of a page as the model sees them, every patch marked with the corner that it was found for."""
    if not any(one.retrieved for one in shown):
        return notice("No reference is used for this page: the model has to guess its colours.")
    return str(_parts().looks(shown))


@cache
def _parts() -> Any:
    """The macros of ``fragments.html``."""
    loader = PackageLoader("colorflow", "assets/demo")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals.update(
        {"quadrants": QUADRANTS, "corners": _CORNERS, "ranks": _RANKS, "data_uri": _data_uri, "slot_box": slot_box},
        canvas_uri=lambda canvas: _data_uri(within(canvas, _SHOWN)),
        corner_box=_corner_box,
        place=_place,
        part_name=lambda patch: f"{patch.reference.rpartition('/')[2]}, {_VIEWS[patch.patch]}",
        alike=_alike,
    )
    return environment.get_template("fragments.html").module


def _data_uri(image: Image.Image) -> str:
    """A picture as part of the page itself."""
    file = io.BytesIO()
    image.convert("RGB").save(file, "JPEG", quality=88)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


def _corner_box(size: Size, number: int) -> Box:
    """A corner of the page on its canvas: three quarters of each side, as retrieval compares them."""
    left, top, _, _ = query_box(size)
    across, down = size[0] // 4, size[1] // 4
    left, top = left + (number % 2) * across, top + (number // 2) * down
    return left, top, left + 3 * across, top + 3 * down


def _place(box: Box, canvas: Size) -> str:
    """A box in shares of the canvas, so that it keeps its place at any size on the screen."""
    left, top, right, bottom = box
    across, down = 100 / canvas[0], 100 / canvas[1]
    return (
        f"left:{left * across:.2f}%;top:{top * down:.2f}%;"
        f"width:{(right - left) * across:.2f}%;height:{(bottom - top) * down:.2f}%"
    )


def _alike(patch: RetrievedPatch, before: str = "") -> str:
    """How alike, where that was measured (NaN is not equal to itself)."""
    return f"{before}{patch.similarity:.2f} alike" if patch.similarity == patch.similarity else ""
