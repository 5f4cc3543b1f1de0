"""Whether two runs were trained alike but for what an ablation is about, told by their saved configurations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from colorflow.moved import todays

_GROUPS = (
    "seed", "weights", "model", "data", "transform", "retrieval", "style", "diffusion", "optimizer", "lr_scheduler",
    "trainer",
)  # fmt: skip
"""Of the configuration, what makes the weights; the rest is derived from it, or about the evaluation."""

_FREE = (
    "data.root", "data.datamodule.source.root", "data.datamodule.source.cache_dir", "data.datamodule.source.retriever",
    "data.datamodule.num_workers", "trainer.devices", "trainer.num_nodes", "trainer.strategy", "trainer.accelerator",
    "trainer.default_root_dir", "trainer.val_check_interval", "trainer.limit_val_batches", "trainer.log_every_n_steps",
)  # fmt: skip
"""Keys in them that tell where a run was made and how it was watched; ``retriever`` holds ``retrieval`` again."""


def seed_of(run: Path) -> int | None:
    """The seed that a run folder's configuration states; None without one."""
    file = run / "config.yaml"
    return yaml.safe_load(file.read_text(encoding="utf-8")).get("seed") if file.is_file() else None


def different_keys(run: Path, other: Path, about: Sequence[str]) -> list[str]:
    """What two runs differ in, as ``key: value here, value there``.

    Args:
        run: Run folder with ``config.yaml``.
        other: Another one.
        about: Keys that may differ, with all below them.

    Returns:
        Nothing where a run has no ``config.yaml``.
    """
    files = run / "config.yaml", other / "config.yaml"
    if run == other or not all(file.is_file() for file in files):
        return []
    ours, theirs = (todays(yaml.safe_load(file.read_text(encoding="utf-8"))) for file in files)
    return compare(ours, theirs, about)


def compare(one: Mapping[str, Any], other: Mapping[str, Any], about: Sequence[str]) -> list[str]:
    """The same of two configurations."""
    ours, theirs, free = dict(_leaves(one)), dict(_leaves(other)), (*_FREE, *about)
    return [
        f"{key}: {ours.get(key, 'absent')}, there {theirs.get(key, 'absent')}"
        for key in sorted(ours.keys() | theirs.keys())
        if ours.get(key) != theirs.get(key) and not any(key == name or key.startswith(f"{name}.") for name in free)
    ]


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and values of the groups that count."""
    for key, value in tree.items():
        if not prefix and key not in _GROUPS:
            continue
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", _without_place(value)


def _without_place(value: Any) -> Any:
    """A file's name in the place of its path: clones and machines differ."""
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value
