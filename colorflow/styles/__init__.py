"""Input styles: how a colour page becomes the black-and-white query it is trained or tested with."""

from colorflow.styles.gray import GrayStyle

__all__ = ["GrayStyle"]
