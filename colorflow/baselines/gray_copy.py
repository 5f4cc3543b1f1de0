"""Do nothing: the floor that every table shows (spec: SSIM hardly sees colour, and this row tells so)."""

from __future__ import annotations

from PIL import Image

from colorflow.methods import MethodSpec, Rows
from colorflow.schema import ReferencePool


class GrayCopy:
    """Returns its input. A method that scores below it does harm.

    Attributes:
        name: Row name.
    """

    name = "gray_copy"

    def colorize(self, page: Image.Image, references: ReferencePool, *, seed: int) -> Image.Image:
        """Return a copy of ``page``; references and seed are not used."""
        return page.copy()


def rows() -> Rows:
    """The row of `GrayCopy`, which every table has."""
    return {GrayCopy.name: MethodSpec(GrayCopy)}
