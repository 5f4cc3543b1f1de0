"""The trainings that the rows of a table stand on: found among the run folders, or named by their commands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import yaml

from colorflow.evaluation.rows.exports import Row, colorflow_rows
from colorflow.methods import MethodSpec, Problem, Rows
from colorflow.moved import todays
from colorflow.pipelines.export import read_retrieval
from colorflow.pipelines.recipes import Recipe
from colorflow.utils.log import get_logger

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


BASELINE = "baseline"
"""The training of the full model; every row takes guided super-resolution and the way of retrieval from it."""

logger = get_logger(__name__)


class DifferentTrainingError(ValueError):
    """A training that is no ablation of the baseline; the message has the keys."""


@dataclass(frozen=True)
class Training:
    """A training.

    Attributes:
        run: Name of its run folders, ``runs/<run>/<time>``, or ``runs/<run>/<time>/<number>`` of a sweep.
        command: What makes them.
        changes: Keys of its configuration that may differ from the baseline's: what it is about.
        export: Export folder that lies elsewhere.
    """

    run: str
    command: str
    changes: Sequence[str] = ()
    export: str | None = None


@dataclass(frozen=True)
class Trainings:
    """All that a set of tables stands on.

    Attributes:
        name: Of the set, e.g. ``paper``.
        root: Parent of all run folders.
        runs: Each training by the name that tables use.
        styles: Inputs that the tables are made for.
        seed: Take the trainings of this seed alone, as their configurations say; ``any`` takes the newest.
    """

    name: str
    root: str
    runs: Mapping[str, Training]
    styles: Sequence[str] = ("gray",)
    seed: int | Literal["any"] = "any"

    def find(self, name: str) -> Path | None:
        """The newest whole export of a training, of the baseline one with super-resolution; None where there is none.

        Raises:
            ValueError: For a name that the set lacks.
        """
        if name not in self.runs:
            raise ValueError(f"trainings={self.name}: expected one of {', '.join(self.runs)}, got {name!r}")
        training = self.runs[name]
        if training.export is not None:
            return Path(training.export)
        last = Path("gsrp/config.json" if name == BASELINE else "model_index.json")
        folder = Path(self.root) / training.run
        found = sorted((*folder.glob(f"*/export/{last}"), *folder.glob(f"*/*/export/{last}")))
        exports = [file.parents[len(last.parts) - 1] for file in found]
        if self.seed != "any":
            exports = [export for export in exports if seed_of(export.parent) == self.seed]
        return exports[-1] if exports else None

    def check_alike(self, name: str, export: Path, baseline: Path) -> None:
        """Compare the configurations of two runs; exports without one beside them are taken as they are.

        Raises:
            DifferentTrainingError: If they differ in more than the training is about.
        """
        differences = different_keys(export.parent, baseline.parent, self.runs[name].changes)
        if differences:
            shown, about = "\n".join(f"  {line}" for line in differences), ", ".join(self.runs[name].changes)
            raise DifferentTrainingError(
                f"trainings={self.name}: {name} ({export}) and the baseline ({baseline}) differ in more than {about}:\n"
                f"{shown}\nTrain it again, {self.runs[name].command}, or "
                f"name an export that fits: trainings.runs.{name}.export=DIR or trainings.runs.{BASELINE}.export=DIR"
            )


def trained_rows(
    trainings: Trainings,
    rows: Mapping[str, Sequence[Row]],
    recipe: Recipe,
    device: str = "auto",
    dtype: str = "float32",
) -> Rows:
    """Rows of several trainings in one table.

    Every row has the guided super-resolution of the baseline, and its way of retrieval where it has RAP: a training is
    told from another by what it changed alone. The problem of a row whose training, or the baseline, was not run is the
    commands.

    Args:
        trainings: Where they are.
        rows: Training -> the rows that its weights give.
        recipe: How a page is computed.
        device: ``auto`` takes the GPU where there is one.
        dtype: Of the networks.

    Raises:
        DifferentTrainingError: For a training that differs from the baseline in more than it is about.
    """
    folders = {name: trainings.find(name) for name in (*rows, BASELINE)}
    absent = [name for name, folder in folders.items() if folder is None]
    problem = Problem(_commands(trainings, absent), failed=False)
    specs: dict[str, MethodSpec] = {}
    for name, of_training in rows.items():
        folder, baseline = folders[name], folders[BASELINE]
        if folder is None or baseline is None:
            specs |= {row.name: MethodSpec(problem=problem, label=row.label) for row in of_training}
            continue
        logger.info("%s: %s", name, folder)
        trainings.check_alike(name, folder, baseline)
        retrieval = replace(read_retrieval(baseline), device="auto")
        specs |= colorflow_rows(
            str(folder), of_training, recipe, retrieval, device=device, dtype=dtype, gsrp=str(baseline)
        )
    return specs


def _commands(trainings: Trainings, names: Iterable[str]) -> str:
    seed = "" if trainings.seed == "any" else f" seed={trainings.seed}"
    lines = [f"  {trainings.runs[name].command}{seed}" for name in names]
    return (
        f"trainings={trainings.name}: no export of {', '.join(names)} in {trainings.root}; make them by\n"
        + "\n".join(lines)
        + "\nor name an export folder made elsewhere, trainings.runs.NAME.export=DIR; incomplete=mark does without"
    )
