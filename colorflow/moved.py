"""What saved configurations of earlier versions call by other names; `colorflow.config.load_config` goes by it."""

from __future__ import annotations

from typing import Any

_MODULES = {
    "colorflow.data.toon": "colorflow.toon",
    "colorflow.evaluation.colorflow_bench": "colorflow.evaluation.bench.colorflow_bench",
    "colorflow.evaluation.command_rows": "colorflow.evaluation.rows.command_rows",
    "colorflow.evaluation.methods": "colorflow.evaluation.rows.methods",
    "colorflow.evaluation.port_rows": "colorflow.evaluation.rows.port_rows",
    "colorflow.evaluation.reference_rows": "colorflow.evaluation.rows.reference_rows",
    "colorflow.evaluation.toon_benchmark": "colorflow.evaluation.bench.toon_benchmark",
    "colorflow.evaluation.trainings": "colorflow.evaluation.rows.trainings",
    "colorflow.pipelines.chapters": "colorflow.colorize.chapters",
    "colorflow.pipelines.rap": "colorflow.retrieval.settings",
}
"""Modules of a ``_target_``, as of commit 99cab2b, and where their names are now."""

_KEYS: dict[tuple[str, str], str] = {}
"""Keys beside a ``_target_`` (as it is called now) that have another name now."""


def todays(tree: Any) -> Any:
    """A saved configuration, plain containers, with every ``_target_`` and key by its name of today."""
    if isinstance(tree, list):
        return [todays(item) for item in tree]
    if not isinstance(tree, dict):
        return tree
    target = tree.get("_target_")
    if isinstance(target, str):
        module, _, name = target.rpartition(".")
        target = f"{_MODULES.get(module, module)}.{name}"
    renamed = {_KEYS.get((target, key), key): todays(value) for key, value in tree.items()}
    return renamed if target is None else renamed | {"_target_": target}
