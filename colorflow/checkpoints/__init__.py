"""The released checkpoints and ours, each from the other, strictly: every key is accounted for."""

from colorflow.checkpoints.ours import export_released
from colorflow.checkpoints.released import import_released
from colorflow.utils.tensors import CheckpointError

__all__ = ["CheckpointError", "export_released", "import_released"]
