"""Logging that speaks once, however many processes train."""

from __future__ import annotations

import logging
import os
import sys
import warnings

_RANK_VARIABLES = ("RANK", "SLURM_PROCID", "LOCAL_RANK")
_NODE_VARIABLES = ("NODE_RANK", "GROUP_RANK")


def is_rank_zero() -> bool:
    """Whether this process is the first of its run (asked at each record, as ranks come late)."""
    distributed = sys.modules.get("torch.distributed")  # a process that has not loaded it is in no group
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        return bool(distributed.get_rank() == 0)
    if "RANK" not in os.environ and any(os.environ.get(name, "0") != "0" for name in _NODE_VARIABLES):
        return False
    return next((os.environ[name] == "0" for name in _RANK_VARIABLES if name in os.environ), True)


def _passes(record: logging.LogRecord) -> bool:
    """Every record of rank zero, and errors from anywhere."""
    return record.levelno >= logging.ERROR or is_rank_zero()


def get_logger(name: str) -> logging.Logger:
    """Return the named logger; below ERROR it is silent on every process but rank zero.

    Handlers and levels are the application's (Hydra's, or ``logging.basicConfig``).
    """
    logger = logging.getLogger(name)
    logger.addFilter(_passes)
    return logger


_NOISE = (
    r".*isinstance\(treespec, LeafSpec\).*",  # lightning on torch 2.15
    r"Found \d+ module\(s\) in eval mode.*",  # the frozen base is meant to be
    r"Experiment logs directory .* exists and is not empty.*",  # our run folder; old metrics are moved aside
    r"Checkpoint directory .* exists and is not empty.*",  # a resumed run's
    r"The '.*_dataloader' does not have many workers.*",
    r"Trying to infer the `batch_size`.*",
    r"You are trying to `self\.log\(\)` but the `self\.trainer` reference.*",  # a step that is done again
)


def quiet_libraries() -> None:
    """Silence messages of libraries that are about choices made here on purpose; all else stays."""
    for message in _NOISE:
        warnings.filterwarnings("ignore", message=message)
    logging.getLogger("lightning.pytorch.utilities.rank_zero").setLevel(logging.ERROR)
    os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")  # read when it is imported
    logging.getLogger("diffusers").setLevel(logging.ERROR)  # where it is already


def finish_wandb() -> None:
    """End the wandb run, where there is one: the next training in this process (a sweep) is another run."""
    wandb = sys.modules.get("wandb")
    if wandb is not None and wandb.run is not None:
        wandb.finish()
