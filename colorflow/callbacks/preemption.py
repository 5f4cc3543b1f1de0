"""A run that is asked to end saves its state first, at a whole optimizer step, and ends so that it is started again."""

from __future__ import annotations

import signal
import threading
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import torch
import torch.distributed as dist
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.plugins.environments import SLURMEnvironment
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import Tensor

from colorflow.utils.log import get_logger

STATUS = 75
"""Exit status of a run that was stopped and saved: EX_TEMPFAIL of sysexits.h; the same command goes on."""

_log = get_logger(__name__)


class Preempted(SIGTERMException):
    """The run was asked to end; what it has done is saved."""


class Preemption(Checkpoint):
    """On a signal: finish the optimizer step, save, let the launcher requeue, end with status 75.

    All processes of a run stop after the same step, though only one of them may have been told. They tell each other
    after every step, through the CPU and one step ahead, so that no process waits for another or for its device.

    In place of Lightning 2.6's own handling, which saves inside the signal handler, in the middle of whatever the step
    is doing; joins the gradients' collectives from there, on the signalled processes alone; goes on from
    ``hpc_ckpt_*.ckpt`` however old, once there is one; and reads a tensor back from the device in every step.

    Args:
        path: The checkpoint to write; what ``resume`` goes on from.
        signals: SLURM's at a time limit is chosen by ``sbatch --signal`` (SIGUSR1 in cluster/train.sbatch), submitit's
            is SIGUSR2, and at a preemption comes SIGTERM.
    """

    def __init__(self, path: str, signals: Sequence[str] = ("SIGTERM", "SIGUSR1", "SIGUSR2")) -> None:
        self.path = Path(path)
        self.signals = tuple(signal.Signals[name] for name in signals)
        self._received: signal.Signals | None = None
        self._ending: signal.Signals | None = None
        self._launchers_own: dict[signal.Signals, Any] = {}
        self._group: Any = None
        self._asked: tuple[Tensor, Any] | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Keep the handlers of who started this process, before Lightning adds its own."""
        self._launchers_own = {number: signal.getsignal(number) for number in self.signals}
        environment = trainer._accelerator_connector.cluster_environment
        if isinstance(environment, SLURMEnvironment):
            environment.auto_requeue = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the signals over; Lightning gives them back after the training."""
        self._step, self._asked, self._group = trainer.global_step, None, None
        if trainer.world_size > 1:
            self._group = dist.new_group(backend="gloo")
            self._compare_places(trainer)
        trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None  # type: ignore[method-assign]
        if threading.current_thread() is threading.main_thread():
            for number in self.signals:
                signal.signal(number, self._note)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Save, on every process after the same step, if one was asked to end."""
        if trainer.global_step == self._step:  # inside of an accumulated step
            return
        self._step = trainer.global_step
        self._ending = self._agree()
        if self._ending:
            trainer.save_checkpoint(self.path)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """End here and not where the state was saved: the loss of that step is logged in between."""
        self._end(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Do not begin what may take longer than the notice."""
        self._end(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Receive the last answer."""
        if self._asked is not None:
            self._asked[1].wait()

    def _end(self, trainer: Trainer) -> None:
        """End as the launcher wants it, if the state was saved for that.

        Raises:
            Preempted: With the exit status.
        """
        if not self._ending:
            return
        _log.warning("%s: stopped after step %d, saved in %s", self._ending.name, self._step, self.path)
        requeue = self._launchers_own.get(self._ending)
        if callable(requeue):
            requeue(self._ending, None)
        raise Preempted(STATUS if trainer.is_global_zero else 0)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._received = signal.Signals(number)

    def _agree(self) -> signal.Signals | None:
        """The signal that some process had received a step ago (a process that is alone: by now)."""
        if self._group is None:
            return self._received
        before, flag = self._asked, torch.tensor([self._received or 0])
        self._asked = flag, dist.all_reduce(flag, dist.ReduceOp.MAX, group=self._group, async_op=True)
        if before is None:
            return None
        before[1].wait()
        number = int(before[0])
        return signal.Signals(number) if number else None

    def _compare_places(self, trainer: Trainer) -> None:
        """Processes on nodes that see different files would train different steps without knowing.

        Raises:
            RuntimeError: Where they do not start at the same step of the same run folder.
        """
        places: list[Any] = [None] * trainer.world_size
        dist.all_gather_object(places, (trainer.default_root_dir, trainer.global_step), group=self._group)
        if len(set(places)) > 1:
            raise RuntimeError(
                f"expected all processes at one step of one run folder, got {sorted(set(places))}; start them with the "
                "same paths.run_dir, on a file system that all see"
            )
