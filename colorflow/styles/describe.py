"""What records keep of a style: its class, its options, the digests of its weights."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any


def describe(style: Any, **more: Any) -> dict[str, Any]:
    """Return a style's name, class and options as JSON values; styles inside it are described in turn.

    Args:
        style: A style that is a dataclass.
        more: What is known beside the options; takes the place of an option of the same name.
    """
    options = {field.name: _json(getattr(style, field.name)) for field in fields(style)}
    return {"name": style.name, "class": type(style).__name__} | options | more


def _json(value: Any) -> Any:
    if hasattr(value, "describe"):
        return value.describe()
    if isinstance(value, tuple | list):
        return [_json(item) for item in value]
    return str(value) if isinstance(value, Path) else value
