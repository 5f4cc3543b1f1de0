"""The export folder, written when training ends (and by hand from a checkpoint)."""

from __future__ import annotations

from pathlib import Path

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from colorflow.callbacks.ema import averaged_weights
from colorflow.pipelines.export import save_export, save_gsrp
from colorflow.retrieval.settings import RetrievalSettings
from colorflow.tasks.gsrp_task import GSRPTask
from colorflow.tasks.icp_task import ICPTask


class Export(Callback):
    """Write what `ColorFlowPipeline.from_pretrained` loads, with the averaged weights where there are any.

    Args:
        folder: Export folder.
        page_size: Page size (W, H) of inference.
        retrieval: How the pipeline retrieves unless told otherwise.
        colorizer: Export folder of an ICP run. A run of guided super-resolution copies it, so that its own export is
            complete; without it the export holds ``gsrp/`` alone.
    """

    def __init__(
        self, folder: str, page_size: tuple[int, int], retrieval: RetrievalSettings, colorizer: str | None = None
    ) -> None:
        self.folder, self.retrieval = Path(folder), retrieval
        self.page_size = (page_size[0], page_size[1])
        self.colorizer = None if colorizer is None else Path(colorizer)
        if self.colorizer is not None and not (self.colorizer / "model_index.json").is_file():
            raise FileNotFoundError(
                f"colorizer: expected the export folder of an ICP run, found no model_index.json in {self.colorizer}"
            )

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Export on the first process; the others wait, as a run that follows (``then``) looks for the folder."""
        if trainer.is_global_zero:
            with averaged_weights(trainer, pl_module):
                if isinstance(pl_module, ICPTask):
                    save_export(pl_module.model, self.folder, self.page_size, self.retrieval)
                elif isinstance(pl_module, GSRPTask):
                    save_gsrp(pl_module.model.fusion, self.folder, self.colorizer)
        trainer.strategy.barrier("export")
