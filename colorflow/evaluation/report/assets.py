"""Pages of the Jinja2 templates, styles and scripts that are shipped with the package, each as one HTML file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined


def fill_page(
    template: str, values: Mapping[str, Any], *, styles: Sequence[str], scripts: Sequence[str], data: Any
) -> str:
    """Return a page that needs no other file but its pictures.

    Args:
        template: Asset that extends ``frame.html``.
        values: What it shows, by name; escaped there.
        styles: Assets, in order.
        scripts: Assets, in order; they share one scope.
        data: JSON that the scripts read.
    """
    # In a script element "<" could begin an end tag or a comment; JSON may write it as an escape.
    embedded = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    style = "\n".join(_read(name) for name in styles)
    script = "\n".join(['"use strict";', *(_read(name) for name in scripts)])
    return _templates().get_template(template).render(values, style=style, script=script, data=embedded)


@cache
def _templates() -> Environment:
    loader = PackageLoader("colorflow", "assets/report")
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def _read(name: str) -> str:
    return files("colorflow").joinpath("assets", "report", name).read_text(encoding="utf-8")
