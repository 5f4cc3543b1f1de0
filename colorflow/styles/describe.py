"""What records keep of a style: its class, its options, the digests of its weights."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any


class Described:
    """A style that is a dataclass: private fields, and the device it runs on, are no options.

    Of weights the digests in ``_digests`` are told, not where they lie.
    """

    def describe(self) -> dict[str, Any]:
        """Return name, class and options as JSON values; styles inside are described in turn."""
        style: Any = self
        digests = {"weights": style._digests} if hasattr(style, "_digests") else {}
        return {"name": style.name, "class": type(style).__name__, **_options(style), **digests}


def _options(value: Any) -> dict[str, Any]:
    known = [field.name for field in fields(value) if not field.name.startswith("_") and field.name != "device"]
    return {name: _json(getattr(value, name)) for name in known}


def _json(value: Any) -> Any:
    if hasattr(value, "describe"):
        return value.describe()
    if is_dataclass(value):
        return _options(value)
    if isinstance(value, tuple | list):
        return [_json(item) for item in value]
    return value
