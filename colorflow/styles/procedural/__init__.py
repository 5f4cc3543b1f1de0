"""Procedural screentones: print-like black and white without any weights."""

from colorflow.styles.procedural.style import ProceduralStyle

__all__ = ["ProceduralStyle"]
