"""Logging that speaks once, however many processes train."""

from __future__ import annotations

import logging
import os

import torch.distributed

_RANK_VARIABLES = ("RANK", "SLURM_PROCID", "LOCAL_RANK")
_NODE_VARIABLES = ("NODE_RANK", "GROUP_RANK")


def is_rank_zero() -> bool:
    """Whether this process is the first of its run (asked at each record, as ranks come late)."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank() == 0
    if "RANK" not in os.environ and any(os.environ.get(name, "0") != "0" for name in _NODE_VARIABLES):
        return False
    return next((os.environ[name] == "0" for name in _RANK_VARIABLES if name in os.environ), True)


class _RankZeroFilter(logging.Filter):
    """Lets every record of rank zero pass, and errors from anywhere."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno >= logging.ERROR or is_rank_zero()


def get_logger(name: str) -> logging.Logger:
    """Return the named logger; below ERROR it is silent on every process but rank zero.

    Handlers and levels are the application's (Hydra's, or ``logging.basicConfig``).
    """
    logger = logging.getLogger(name)
    if not any(isinstance(item, _RankZeroFilter) for item in logger.filters):
        logger.addFilter(_RankZeroFilter())
    return logger
