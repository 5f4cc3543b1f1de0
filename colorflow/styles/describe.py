"""What records keep of a style: its class, its options, the digests of its weights."""

from __future__ import annotations

from dataclasses import fields
from typing import Any


def describe(style: Any, **more: Any) -> dict[str, Any]:
    """Return a style's name, class and options as JSON values; styles inside it are described in turn.

    Args:
        style: A style that is a dataclass; private fields, and the device it runs on, are no options.
        more: What takes the place of an option, or is known beside the options: digests for paths of weights.
    """
    known = [field.name for field in fields(style) if not field.name.startswith("_") and field.name != "device"]
    options = {name: _json(getattr(style, name)) for name in known if name not in more}
    return {"name": style.name, "class": type(style).__name__} | options | more


def _json(value: Any) -> Any:
    if hasattr(value, "describe"):
        return value.describe()
    if isinstance(value, tuple | list):
        return [_json(item) for item in value]
    return value
