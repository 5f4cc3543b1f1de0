"""A training step asks the device for no number: else the host waits for all work before it, and none is queued ahead.

Without a GPU: reads of a value are counted where torch makes them; and a step on the meta device, which has no values,
fails at the first one, and shows uploads as copies from the CPU (a GPU does them beside its work from pinned memory).
"""

import functools
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import CSVLogger
from test_gsrp_task import batch_of as pages_of
from test_gsrp_task import task as gsrp_task
from tiny.models import tiny_base, tiny_model, tiny_pixart_model
from tiny.runs import batch_of, loader, trainer
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from colorflow.callbacks.ema import EMA
from colorflow.callbacks.progress_bar import ProgressBar
from colorflow.diffusion.objective import DiffusionObjective
from colorflow.tasks.base_task import BaseTask
from colorflow.tasks.icp_task import ICPTask
from colorflow.tasks.trainable import TrainableTask

ADAMW = functools.partial(torch.optim.AdamW, lr=1e-3, fused=True)
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*self.log.*", "ignore:.*num_workers.*", "ignore:.*eval mode.*", "ignore:.*val_dataloader.*"
)


class Reads(TorchDispatchMode):
    """Counts values read by the host: ``item``, ``bool``, ``float`` of a tensor."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


class Uploads(TorchDispatchMode):
    """Copies from the CPU to the meta device, each with the functions it was made in."""

    def __init__(self) -> None:
        super().__init__()
        self.made_in: list[list[str]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        copied = func is torch.ops.aten._to_copy.default and args[0].device.type == "cpu"
        if copied and output.device.type == "meta":
            self.made_in.append([frame.name for frame in traceback.extract_stack()])
        return output


class ByStep(Callback):
    """Reads since the step before, after every step."""

    def __init__(self, reads: Reads) -> None:
        self.reads, self.found, self._before = reads, list[int](), 0

    def on_train_batch_start(self, *_: Any) -> None:
        self._before = self.reads.count

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        self.found.append(self.reads.count - self._before)


class ReadsOne(Callback):
    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *_: Any) -> None:
        outputs["loss"].item()


def icp() -> ICPTask:
    return ICPTask(tiny_model(conditioning_channels=9), DiffusionObjective(snr_gamma=5.0), ADAMW)


def reads_by_step(folder: Path, *more: Callback) -> list[int]:
    """Of six steps with averaging, clipping, a bar and a log, the third and sixth of which are written."""
    batches = [batch_of(2 * number, 2 * number + 1) for number in range(6)]
    with Reads() as reads:
        by_step = ByStep(reads)
        fitting = trainer(
            max_steps=6,
            callbacks=[EMA(), ProgressBar(), *more, by_step],
            logger=CSVLogger(folder),
            enable_progress_bar=True,
            log_every_n_steps=3,
            gradient_clip_val=1.0,
        )
        fitting.fit(icp(), loader(*batches))
    return by_step.found


def test_a_step_reads_no_number(tmp_path):
    first, second, written, *others = reads_by_step(tmp_path)
    assert (first, second) == (0, 0)
    assert others[:2] == [0, 0]
    assert written > 0, "the log is written, or nothing is counted"


def test_a_step_that_reads_one_is_caught(tmp_path):
    assert reads_by_step(tmp_path, ReadsOne())[:2] == [1, 1]


def base_task() -> BaseTask:
    return BaseTask(tiny_base(), DiffusionObjective(), ADAMW)


def pixart() -> ICPTask:
    return ICPTask(tiny_pixart_model(), DiffusionObjective(), ADAMW)


TASKS: dict[str, tuple[Callable[[], TrainableTask], Callable[..., Any], int]] = {
    "icp": (icp, batch_of, 2),  # draws for the timestep, and of normals
    "pixart": (pixart, functools.partial(batch_of, size=(32, 64)), 3),  # and the size in pixels
    "base": (base_task, batch_of, 3),  # and what kind a sample is
    "gsrp": (gsrp_task, pages_of, 6),  # jitter and its weights, two draws each of two kinds of noise
}


@pytest.mark.parametrize("name", TASKS)
def test_a_step_needs_no_values_and_uploads_from_pinned_memory(name):
    make, batches, uploads = TASKS[name]
    task, batch = make().to("meta"), batches(1, 2).to("meta")
    task.training_step(batch, 0)  # the noise scheduler moves its table to the device once
    with Uploads() as seen:
        loss: Tensor = task.training_step(batch, 0)
        loss.backward()
    assert len(seen.made_in) == uploads
    assert all("to_device" in names for names in seen.made_in)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_sees_no_wait():
    task, batch = icp().cuda(), batch_of(1, 2)
    optimizer: Any = task.configure_optimizers()
    for step in range(3):
        torch.cuda.set_sync_debug_mode("error" if step == 2 else "default")
        try:
            task.training_step(batch.pin_memory().to("cuda", non_blocking=True), 0).backward()
            torch.nn.utils.clip_grad_norm_(task.trainable().values(), 1.0)
            optimizer.step()
        finally:
            torch.cuda.set_sync_debug_mode("default")
