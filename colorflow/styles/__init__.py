"""Input styles: how a colour page becomes the black-and-white query it is trained or tested with."""

from colorflow.styles.augmentation import screenstyle
from colorflow.styles.compose import Interpolated, Mixed
from colorflow.styles.gray import GrayStyle
from colorflow.styles.procedural import ProceduralStyle
from colorflow.styles.procedural.scan import Scan
from colorflow.styles.procedural.tones import ToneRanges
from colorflow.styles.recorded import RecordedStyle
from colorflow.styles.screenvae import ScreenVAEStyle
from colorflow.styles.sketch import SketchStyle

__all__ = [
    "GrayStyle",
    "Interpolated",
    "Mixed",
    "ProceduralStyle",
    "RecordedStyle",
    "Scan",
    "ScreenVAEStyle",
    "SketchStyle",
    "ToneRanges",
    "screenstyle",
]
