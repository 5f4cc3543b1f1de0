"""Parts by name: a plain name is a module of ours, a dotted one anybody's, so that configuration alone adds a part."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from typing import Any


def find(kind: str, name: str, package: str, attribute: str) -> Any:
    """What a module declares under a fixed name, such as a family's ``FAMILY``.

    Args:
        kind: What is looked for, as the error names it: the configuration key.
        name: Module of ``package``; with a dot, any module that can be imported.
        package: Where plain names are looked up.
        attribute: What the module must have.

    Raises:
        ValueError: In one line, for a module that is not there or lacks the attribute.
    """
    path = name if "." in name else f"{package}.{name}"
    found = _read(path, attribute) if all(map(str.isidentifier, path.split("."))) else None
    if found is None:
        names = known(package, attribute)
        near = difflib.get_close_matches(name, names, n=1)
        raise ValueError(
            f"{kind}: expected one of {', '.join(names)}, or the dotted name of a module with {attribute}, got {name!r}"
            + (f"; did you mean {near[0]}?" if near else "")
        )
    return found


def known(package: str, attribute: str) -> list[str]:
    """Names of the modules of a package that have an attribute."""
    places = importlib.import_module(package).__path__
    names = sorted(module.name for module in pkgutil.iter_modules(places))
    return [name for name in names if _read(f"{package}.{name}", attribute) is not None]


def _read(path: str, attribute: str) -> Any:
    """The attribute of a module; None where either is not there."""
    try:
        return getattr(importlib.import_module(path), attribute, None)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{path}.".startswith(f"{error.name}."):
            return None
        raise  # the module is there, and what it needs is not
