"""What a function or class takes, read from its source: importing it could take seconds."""

from __future__ import annotations

import ast
from importlib.util import find_spec
from pathlib import Path


def parameter_names(target: str) -> set[str] | None:
    """Names of the parameters of a function or class.

    Args:
        target: Its dotted name, also one that a package re-exports.

    Returns:
        None where the sources alone do not tell, as for a name that is made at run time.
    """
    module, _, name = target.rpartition(".")
    source = _source(module)
    if source is None:
        return None
    tree = ast.parse(source.read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return {item.arg for item in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)}
        if isinstance(node, ast.ClassDef) and node.name == name:
            return _of_class(node, module)
    package = module if source.name == "__init__.py" else module.rpartition(".")[0]
    for line in ast.walk(tree):
        for item in line.names if isinstance(line, ast.ImportFrom) else ():
            if (item.asname or item.name) == name:
                return parameter_names(f"{_origin(line, package)}.{item.name}")
    return None


def _of_class(node: ast.ClassDef, module: str) -> set[str] | None:
    """Of the constructor: its own, or one made of the fields of the class and what its bases take."""
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            return {item.arg for item in (*item.args.posonlyargs, *item.args.args, *item.args.kwonlyargs)} - {"self"}
    bases = [ast.unparse(base) for base in node.bases]
    names: set[str] = set()
    if "NamedTuple" in bases or any("dataclass" in ast.unparse(item) for item in node.decorator_list):
        fields = {ast.unparse(item.target): ast.unparse(item) for item in node.body if isinstance(item, ast.AnnAssign)}
        names = {name for name, text in fields.items() if "ClassVar[" not in text and "init=False" not in text}
    for base in bases:
        inherited = set() if base == "NamedTuple" else parameter_names(f"{module}.{base}")
        if inherited is None:
            return None
        names |= inherited
    return names


def _source(module: str) -> Path | None:
    """The file of a module. Python itself looks for the top package alone: for an inner one it would import that."""
    top, *inner = module.split(".")
    spec = find_spec(top) if top else None
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    if not inner:
        return Path(spec.origin)
    place = Path(spec.origin).parent.joinpath(*inner)
    return next((file for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file()), None)


def _origin(line: ast.ImportFrom, package: str) -> str:
    """The module that ``from ... import`` names, seen from a package."""
    parts = package.split(".")
    above = parts[: len(parts) - line.level + 1] if line.level else []
    return ".".join([*above, *([line.module] if line.module else [])])
