"""The export, written when training ends (and by hand from a checkpoint)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning import Trainer
from lightning.pytorch.callbacks import Callback

from colorflow.callbacks.ema import averaged_weights
from colorflow.pipelines.export import ExportSettings
from colorflow.retrieval.settings import RetrievalSettings
from colorflow.tasks.trainable import TrainableTask


class Export(Callback):
    """Write what a task exports, with the averaged weights where there are any.

    That is what `ColorFlowPipeline.from_pretrained` loads, or a base that ``weights=FOLDER`` loads.

    Args:
        folder: Export folder.
        page_size: Page size (W, H) of inference.
        retrieval: How the pipeline retrieves unless told otherwise.
        colorizer: Export folder of an ICP run. A run of guided super-resolution copies it, so that its own export is
            complete; without it the export holds ``gsrp/`` alone.
        num_inference_steps: Steps of the solver that pages are colored by unless told otherwise.
    """

    def __init__(
        self,
        folder: str,
        page_size: tuple[int, int],
        retrieval: RetrievalSettings,
        colorizer: str | None = None,
        num_inference_steps: int | None = None,
    ) -> None:
        self.folder = Path(folder)
        joined = None if colorizer is None else Path(colorizer)
        self.settings = ExportSettings((page_size[0], page_size[1]), retrieval, joined, num_inference_steps)
        if joined is not None and not (joined / "model_index.json").is_file():
            raise FileNotFoundError(
                f"colorizer: expected the export folder of an ICP run, found no model_index.json in {joined}"
            )

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Fail before training where the pages could not be had that the export is measured on."""
        if pl_module.export_pages:
            trainer.datamodule.validation_batch([0])  # type: ignore[attr-defined]

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Export on the first process; the others wait, as a run that follows (``then``) looks for the folder."""
        if trainer.is_global_zero:
            task: TrainableTask = pl_module
            batch = None
            if task.export_pages:
                data: Any = trainer.datamodule  # type: ignore[attr-defined]
                batch = data.validation_batch(range(min(task.export_pages, len(data.val_samples))))
            with averaged_weights(trainer, task):
                task.export_to(self.folder, self.settings, batch)
        trainer.strategy.barrier("export")
