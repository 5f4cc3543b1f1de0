"""``run.json``: what a run was made with."""

from __future__ import annotations

import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
import yaml
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import WandbLogger

from colorflow import __version__
from colorflow.utils.files import write_json_atomic

_PACKAGES = ("torch", "torchvision", "lightning", "diffusers", "peft", "transformers", "open-clip-torch", "pillow")


class RunRecord(Callback):
    """Write commit, versions, seed, device, style and the digest of the data sequence when training starts.

    wandb gets it too, with the resolved configuration.

    Args:
        folder: Run folder.
        seed: Seed of the run.
    """

    def __init__(self, folder: str, seed: int) -> None:
        self.folder, self.seed = Path(folder), seed

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the record, on the first process."""
        if not trainer.is_global_zero:
            return
        trained = sum(parameter.numel() for parameter in pl_module.parameters() if parameter.requires_grad)
        data: Any = getattr(trainer, "datamodule", None)
        device = pl_module.device
        style = getattr(getattr(data, "transform", None), "style", None)
        gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
        record = {
            "colorflow": __version__,
            "commit": git_commit(),
            "command": sys.argv,
            "seed": self.seed,
            "python": platform.python_version(),
            "packages": {name: _version(name) for name in _PACKAGES},
            "devices": trainer.num_devices * trainer.num_nodes,
            "device": gpu or platform.processor() or device.type,
            "start_step": trainer.global_step,
            "trained_parameters": trained,
            "data": None if data is None else data.state_dict().get("data"),
            # how pages were made black and white, and how renditions in the samples were
            "style": style and {**style.describe(), "recorded": dict(getattr(data.train_samples, "styles", {}))},
        }
        name = "run.json" if trainer.global_step == 0 else f"run_{trainer.global_step:07d}.json"
        write_json_atomic(record, self.folder / name)
        saved = self.folder / "config.yaml"
        config = yaml.safe_load(saved.read_text(encoding="utf-8")) if saved.is_file() else None
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.log_hyperparams({"run": record, "config": config})


def git_commit() -> str | None:
    """Commit of the checkout the package runs from, with ``-dirty`` for local changes; None outside git."""
    here = Path(__file__).parent
    result = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=40"], cwd=here, capture_output=True, text=True, check=False
    )
    return result.stdout.strip() or None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
