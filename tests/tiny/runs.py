"""Runs of the toon family in seconds: configurations, and train.py and evaluate.py called in this process."""

from __future__ import annotations

import csv
import logging
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from hydra.core.global_hydra import GlobalHydra
from lightning.pytorch import Trainer
from omegaconf import DictConfig
from torch.utils.data import DataLoader, IterableDataset

from colorflow.config import CONFIGS, compose_config
from colorflow.schema import ColorizationBatch
from tiny.models import noise

TINY = (
    "model=toon",
    "weights=random",
    "model.page_size=[64,96]",
    "model.train_size=[64,96]",
    "data=toon",
    "data.datamodule.source.spec.size=[64,96]",
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

TINY_PIXART = (
    "model=pixart_alpha",
    "model.base.random.tokens=4",
    "model.base.random.vae.block_out_channels=[8,8,8,8]",
    "model.base.random.vae.norm_num_groups=4",
    "model.base.random.vae.layers_per_block=1",
    "model.base.random.transformer.num_attention_heads=2",
    "model.base.random.transformer.attention_head_dim=6",
    "model.base.random.transformer.num_layers=4",
    "model.base.random.transformer.cross_attention_dim=12",
    "model.base.random.transformer.caption_channels=8",
    "model.lora.r=2",
)
"""After `TINY`: the same runs on PixArt-alpha's classes."""

TINY_IDENTITY = (
    "model=toon_identity",
    "data=toon_identity",
    "model.base.random.vae.width=8",
    "model.base.random.vae.depth=1",
    "model.base.random.unet.block_out_channels=[8,16]",
    "model.lora.r=2",
)
"""After `TINY`: the same runs on the toon family that follows characters, on its own data."""

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


def run_script(script: str, *overrides: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a script as a user does, in a process of its own and from another folder."""
    command = [sys.executable, str(CONFIGS.parent / script), *overrides]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)


def column(path: Path, name: str) -> dict[int, float]:
    """Values of a metric in metrics.csv by step."""
    with path.open(newline="") as file:
        return {int(row["step"]): float(row[name]) for row in csv.DictReader(file) if row.get(name)}


def batch_of(*numbers: int, size: tuple[int, int] = (32, 48)) -> ColorizationBatch:
    """Samples that depend on their number alone, with query and mask as on a canvas; latents of factor 8 are 4 x 6."""
    width, height = size
    target = torch.cat([noise(1, 3, height, width, seed=number).tanh() for number in numbers])
    mask = torch.ones(len(numbers), 1, height, width)
    mask[..., height // 4 : -height // 4, width // 4 : -width // 4] = 0
    gray = target.mean(dim=1, keepdim=True).expand(-1, 3, -1, -1)
    ids = tuple(f"chapter/{number}" for number in numbers)
    seeds = tuple(100 + number for number in numbers)
    return ColorizationBatch(target, torch.where(mask == 0, gray, target), mask, page_ids=ids, seeds=seeds)


class _Stream(IterableDataset[Any]):
    def __init__(self, batches: Sequence[ColorizationBatch]) -> None:
        self.batches = batches

    def __iter__(self) -> Iterator[ColorizationBatch]:
        return iter(self.batches)


def loader(*batches: ColorizationBatch) -> DataLoader[Any]:
    """The batches as they are, in order; without a length, as the loaders of training are."""
    return DataLoader(_Stream(batches), batch_size=None, collate_fn=lambda batch: batch)


def trainer(**options: Any) -> Trainer:
    """A bare trainer."""
    quiet = {name: False for name in ("enable_checkpointing", "enable_progress_bar", "enable_model_summary", "logger")}
    return Trainer(accelerator="cpu", devices=1, use_distributed_sampler=False, **quiet | options)
