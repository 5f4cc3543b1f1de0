"""The export folder, written when training ends (and by hand from a checkpoint)."""

from __future__ import annotations

from pathlib import Path

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from colorflow.callbacks.ema import averaged_weights
from colorflow.pipelines.export import save_export
from colorflow.pipelines.rap import RetrievalSettings
from colorflow.tasks.icp_task import ICPTask


class Export(Callback):
    """Write what `ColorFlowPipeline.from_pretrained` loads, with the averaged weights where there are any.

    Args:
        folder: Export folder.
        page_size: Page size (W, H) of inference.
        retrieval: How the pipeline retrieves unless told otherwise.
    """

    def __init__(self, folder: str, page_size: tuple[int, int], retrieval: RetrievalSettings) -> None:
        self.folder, self.retrieval = Path(folder), retrieval
        self.page_size = (page_size[0], page_size[1])

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Export on the first process."""
        if trainer.is_global_zero and isinstance(pl_module, ICPTask):
            with averaged_weights(trainer, pl_module):
                save_export(pl_module.model, self.folder, self.page_size, self.retrieval)
