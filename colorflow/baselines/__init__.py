"""Other methods behind one protocol (``colorflow.schema.Colorizer``), and folders of their results."""

from colorflow.baselines.color_transfer import ColorTransfer
from colorflow.baselines.gray_copy import GrayCopy
from colorflow.baselines.patch_copy import PatchCopy
from colorflow.baselines.predictions import PredictionsError, PredictionsFolder

__all__ = ["ColorTransfer", "GrayCopy", "PatchCopy", "PredictionsError", "PredictionsFolder"]
