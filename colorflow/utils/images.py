"""Reading any picture into plain RGB, writing PNG, and the way to tensors and back."""

from __future__ import annotations

import os
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from colorflow.utils.files import atomic_path

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")
"""Lower-case suffixes that count as pictures in a chapter folder."""

DECODER_ERRORS = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    LookupError,
    TypeError,
    ArithmeticError,
    struct.error,
    zlib.error,
    NotImplementedError,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)


class ImageError(ValueError):
    """A picture that cannot be used: which file, and why.

    Attributes:
        path: The file.
        reason: What is wrong with it, one line.
    """

    def __init__(self, path: str | os.PathLike[str], reason: str) -> None:
        super().__init__(f"{os.fspath(path)}: {reason}")
        self.path = Path(path)
        self.reason = reason

    def __reduce__(self) -> tuple[type[ImageError], tuple[Path, str]]:
        """Pickle both arguments (data loader workers hand errors over that way)."""
        return type(self), (self.path, self.reason)


def load_image(path: str | os.PathLike[str], min_side: int = 16) -> Image.Image:
    """Read a picture as it is meant to be seen, as RGB.

    The EXIF rotation is applied, transparency is laid over white, CMYK, palette, 1-bit, 16-bit
    and float pictures are converted to 8 bits, and of an animation the first frame is taken.

    Args:
        path: The file.
        min_side: Smallest width and height that is accepted, pixels.

    Returns:
        An RGB image, loaded, without metadata.

    Raises:
        ImageError: For a file that is no picture, is corrupt or cut short, too small, or larger
            than Pillow's limit (twice ``PIL.Image.MAX_IMAGE_PIXELS``).
        OSError: For a file that is missing or may not be read.
    """
    try:
        with Image.open(path) as image:
            if min(image.size) < min_side:
                raise ImageError(
                    path,
                    f"expected sides of at least {min_side} pixels, got {image.width} x "
                    f"{image.height}; leave the file out",
                )
            image.load()
            return to_rgb(ImageOps.exif_transpose(image))
    except ImageError:
        raise
    except DECODER_ERRORS as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ImageError(path, f"expected a readable picture, got {type(error).__name__}: {error}") from error


def read_indexed(path: str | os.PathLike[str]) -> Image.Image:
    """Read a picture of palette indices as it is, mode "P".

    Raises:
        ImageError: For a picture of another mode.
    """
    with Image.open(path) as file:
        if file.mode != "P":
            raise ImageError(path, f"expected palette indices (mode P), got mode {file.mode}; generate the pages again")
        return file.copy()


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert a picture of any mode to 8-bit RGB, transparency over white.

    Raises:
        ValueError: For float pictures outside [0, 255] and modes that Pillow cannot convert.
    """
    if image.mode.startswith("I") or image.mode == "F":
        image = _to_eight_bits(image)
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    rgb = image.convert("RGB") if image.mode != "RGB" else image.copy()
    rgb.info = {}
    return rgb


def save_png(image: Image.Image, path: str | os.PathLike[str], info: PngInfo | None = None) -> None:
    """Write a PNG atomically, creating parents: a kill leaves the old file or none, never half of one.

    Args:
        image: What to write.
        path: Where.
        info: Text chunks to go with it.
    """
    with atomic_path(path) as temporary:
        image.save(temporary, format="PNG", pnginfo=info)


def to_tensor(image: Image.Image) -> Tensor:
    """Convert an image to ``(3, H, W)`` float32 in [-1, 1]."""
    pixels = torch.from_numpy(np.array(image.convert("RGB")))
    return pixels.permute(2, 0, 1).float().div(255).mul(2).sub(1).contiguous()


def to_image(tensor: Tensor, truncate: bool = False) -> Image.Image:
    """Convert a tensor to an RGB image, rounding to the nearest level.

    Args:
        tensor: ``(3, H, W)`` float in [-1, 1], any device and dtype; values outside are clamped.
        truncate: Round down instead, as the released demo does after super-resolution (released code 5.5).

    Raises:
        ValueError: For another shape, and for NaN or infinite values.
    """
    if tensor.ndim != 3 or tensor.shape[0] != 3:
        raise ValueError(f"to_image: expected a (3, H, W) tensor, got {tuple(tensor.shape)}")
    values = tensor.detach().float().cpu()
    if not torch.isfinite(values).all():
        raise ValueError("to_image: expected finite values, got NaN or infinity; the model diverged upstream")
    scaled = values.div(2).add(0.5).clamp(0, 1).mul(255)
    levels = (scaled if truncate else scaled.round()).to(torch.uint8)
    return Image.fromarray(levels.permute(1, 2, 0).contiguous().numpy())


def natural_key(text: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key under which ``page2`` comes before ``page10``; ties fall to the text itself."""
    pieces = [piece for piece in re.split(r"([0-9]+)", text) if piece]
    key = [(0, int(piece), "") if piece[0] in "0123456789" else (1, 0, piece.casefold()) for piece in pieces]
    return (*key, (-1, 0, text))


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """Scale integer and float gray pictures to L, or LA where one value is declared transparent."""
    values = np.asarray(image).astype(np.float64)
    if not np.isfinite(values).all():
        raise ValueError("gray values are NaN or infinite")
    gray = Image.fromarray((values * 255 / _full_scale(image.mode, values)).clip(0, 255).round().astype(np.uint8))
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        gray.putalpha(Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8)))
    return gray


def _full_scale(mode: str, values: np.ndarray) -> float:
    """The value that means white: of the format where it has one, else of the smallest range that holds all."""
    if mode.startswith("I;16"):
        return 65535.0
    low, high = float(values.min()), float(values.max())
    limits = (1.0, 255.0) if mode == "F" else (65535.0, 2.0**31 - 1)
    for limit in limits:
        if low >= 0 and high <= limit:
            return limit
    raise ValueError(f"expected gray values in [0, {limits[-1]:g}], got [{low:g}, {high:g}]")
