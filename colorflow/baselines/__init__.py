"""Other methods behind one protocol (``colorflow.schema.Colorizer``), and folders of their results."""

from colorflow.baselines.gray_copy import GrayCopy
from colorflow.baselines.predictions import PredictionsError, PredictionsFolder

__all__ = ["GrayCopy", "PredictionsError", "PredictionsFolder"]
