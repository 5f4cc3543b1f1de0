"""Styles, scripts and pages that are shipped with the package, put together as one HTML file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from string import Template
from typing import Any


def read_asset(name: str) -> str:
    """Read a text file of ``colorflow/assets/report``."""
    return files("colorflow").joinpath("assets", "report", name).read_text(encoding="utf-8")


def fill_page(
    body: str, title: str, parts: Mapping[str, str], *, styles: Sequence[str], scripts: Sequence[str], data: Any
) -> str:
    """Return a page that needs no other file but its pictures.

    Args:
        body: Asset with the names of ``parts``; what is around it is ``frame.html``.
        title: Of the page, ready HTML.
        parts: Ready HTML by name.
        styles: Assets, in order.
        scripts: Assets, in order; they share one scope.
        data: JSON that the scripts read.
    """
    # In a script element "<" could begin an end tag or a comment; JSON may write it as an escape.
    embedded = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return Template(read_asset("frame.html")).substitute(
        title=title,
        body=Template(read_asset(body)).substitute(parts),
        style="\n".join(read_asset(name) for name in styles),
        script='"use strict";\n' + "\n".join(read_asset(name) for name in scripts),
        data=embedded,
    )
