"""The trainings that the rows of a table stand on: found among the run folders, or named by their commands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from colorflow.evaluation.methods import Row, colorflow_rows
from colorflow.evaluation.run import MethodSpec
from colorflow.pipelines.export import read_retrieval
from colorflow.pipelines.recipes import Recipe
from colorflow.utils.log import get_logger

BASELINE = "baseline"
"""The training of the full model; every row takes guided super-resolution and the way of retrieval from it."""

logger = get_logger(__name__)


class MissingTrainingsError(FileNotFoundError):
    """Trainings that were not run; the message has their commands."""


@dataclass(frozen=True)
class Training:
    """A training.

    Attributes:
        run: Name of its run folders, ``runs/<run>/<time>``.
        command: What makes them.
        export: Export folder that lies elsewhere.
    """

    run: str
    command: str
    export: str | None = None


@dataclass(frozen=True)
class Trainings:
    """All that a set of tables stands on.

    Attributes:
        name: Of the set, e.g. ``paper``.
        root: Parent of all run folders.
        runs: Each training by the name that tables use.
        styles: Inputs that the tables are made for.
    """

    name: str
    root: str
    runs: Mapping[str, Training]
    styles: Sequence[str] = ("gray",)

    def find(self, name: str) -> Path | None:
        """The newest whole export of a training; None where there is none.

        Raises:
            ValueError: For a name that the set lacks.
        """
        if name not in self.runs:
            raise ValueError(f"trainings={self.name}: expected one of {', '.join(self.runs)}, got {name!r}")
        training = self.runs[name]
        if training.export is not None:
            return Path(training.export)
        found = sorted(Path(self.root).glob(f"{training.run}/*/export/model_index.json"))
        return found[-1].parent if found else None


def trained_rows(
    trainings: Trainings,
    rows: Mapping[str, Sequence[Row]],
    recipe: Recipe,
    missing: Literal["error", "skip"] = "error",
    device: str = "auto",
    dtype: str = "float32",
) -> Mapping[str, MethodSpec]:
    """Rows of several trainings in one table.

    Every row has the guided super-resolution of the baseline, and its way of retrieval where it has RAP: a training is
    told from another by what it changed alone.

    Args:
        trainings: Where they are.
        rows: Training -> the rows that its weights give.
        recipe: How a page is computed.
        missing: ``skip`` leaves out the rows of trainings that were not run.
        device: ``auto`` takes the GPU where there is one.
        dtype: Of the networks.

    Raises:
        MissingTrainingsError: Naming the commands, if the baseline is missing or (``error``) any other.
    """
    if missing not in ("error", "skip"):
        raise ValueError(f"missing: expected error or skip, got {missing!r}")
    folders = {name: trainings.find(name) for name in (*rows, BASELINE)}
    absent = [name for name, folder in folders.items() if folder is None]
    baseline = folders[BASELINE]
    if baseline is None or (absent and missing == "error"):
        raise MissingTrainingsError(_commands(trainings, absent))
    if absent:
        logger.warning("rows are left out: %s", _commands(trainings, absent))
    retrieval = replace(read_retrieval(baseline), device="auto")
    specs: dict[str, MethodSpec] = {}
    for name, of_training in rows.items():
        folder = folders[name]
        if folder is not None:
            logger.info("%s: %s", name, folder)
            specs |= colorflow_rows(
                str(folder), of_training, recipe, retrieval, device=device, dtype=dtype, gsrp=str(baseline)
            )
    return specs


def _commands(trainings: Trainings, names: Iterable[str]) -> str:
    lines = [f"  {trainings.runs[name].command}" for name in names]
    return (
        f"trainings={trainings.name}: no export of {', '.join(names)} in {trainings.root}; make them by\n"
        + "\n".join(lines)
        + "\nor name an export folder made elsewhere, trainings.runs.NAME.export=DIR; method.missing=skip does without."
    )
