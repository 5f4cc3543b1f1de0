"""Input styles: how a colour page becomes the black-and-white query it is trained or tested with."""

from colorflow.styles.compose import Interpolated, Mixed
from colorflow.styles.gray import GrayStyle

__all__ = ["GrayStyle", "Interpolated", "Mixed"]
