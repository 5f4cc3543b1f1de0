"""Runs of the toon family in seconds: configurations, and train.py and evaluate.py called in this process."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from types import ModuleType

from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

from colorflow.config import CONFIGS, compose_config

TINY = (
    "model=toon",
    "weights=random",
    "model.page_size=[64,96]",
    "model.train_size=[64,96]",
    "data=toon",
    "data.datamodule.source.chapters=3",
    "data.datamodule.source.pages=3",
    "data.datamodule.source.val_chapters=1",
    "data.datamodule.global_batch_size=2",
    "data.datamodule.num_workers=0",
    "retrieval=hog",
    "trainer=cpu",
    "trainer.log_every_n_steps=1",
)
"""A run of the toon family on six generated pages; every experiment takes these overrides."""

QUIET = ("~callbacks.progress_bar", "+trainer.enable_progress_bar=false")

SMALLER = (
    "model.lora.r=2",
    "model.base.random.vae.block_out_channels=[8,8,16]",
    "model.base.random.unet.block_out_channels=[8,16,16]",
    "model.base.random.unet.attention_head_dim=2",
)
"""Smaller still, where the numbers do not matter."""


def tiny_config(cache: Path, run_dir: Path, *overrides: str, experiment: str = "icp_lora64") -> DictConfig:
    """The composed and checked configuration of a tiny run of some experiment."""
    paths = [f"paths.cache_dir={cache}", f"paths.run_dir={run_dir}"]
    return compose_config("train", [f"experiment={experiment}", *TINY, *QUIET, *paths, *overrides])


def call_main(module: ModuleType, *overrides: str) -> str | None:
    """Run ``python <module>.py <overrides>`` in this process; what it would exit with: None, or its last line."""
    argv, handlers, level = sys.argv, logging.root.handlers[:], logging.root.level
    GlobalHydra.instance().clear()
    sys.argv = [f"{module.__name__}.py", f"--config-path={CONFIGS}", *overrides]
    try:
        module.main()
    except SystemExit as exit_:
        return str(exit_.code)
    finally:
        sys.argv, logging.root.handlers[:] = argv, handlers
        logging.root.setLevel(level)
        GlobalHydra.instance().clear()
    return None
