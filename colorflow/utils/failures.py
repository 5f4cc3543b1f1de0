"""How many failures a long run forgives."""

from __future__ import annotations

import math


def allowed_failures(pages: int, fraction: float) -> int:
    """Number of pages that may be missing: the fraction, rounded down, but one where any are allowed.

    Raises:
        ValueError: For a fraction outside [0, 1].
    """
    if not 0 <= fraction <= 1:
        raise ValueError(f"max_failures: expected a fraction in [0, 1], got {fraction}")
    return max(1, math.floor(fraction * pages)) if fraction else 0
