"""What the styles with networks share: official weight files, their digests, and the height a page is rendered at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from PIL import Image
from torch import nn

from colorflow.schema import NATIVE_SIZE
from colorflow.utils.hashing import digest_file
from colorflow.utils.published import Published
from colorflow.utils.tensors import fill, read_tensors

GENERATOR_FILE = "ScreenStyle/color2manga/color2manga_cycle_ganstft/latest_net_G_RGB2INTSCR.pth"
DECODER_FILE = "ScreenStyle/ScreenVAE/latest_net_dec.pth"
ENCODER_FILE = "ScreenStyle/ScreenVAE/latest_net_enc.pth"
COLOR_FILE = "ScreenStyle/color2manga/color2manga_cycle_ganstft/latest_net_G_INTSCR2RGB.pth"
CODE_FILE = "ScreenStyle/color2manga/color2manga_cycle_ganstft/latest_net_E.pth"
LINE_FILE = "LE/erika.pth"
"""Where the files lie below the released ColorFlow folder."""

RELEASED = Published(
    "a folder with ScreenStyle/ and LE/ as the released ColorFlow folder has them (TencentARC/ColorFlow)",
    "on the Hugging Face hub",
    "the authors' own terms for ScreenStyle, MIT for the line extractor, an academic one for the folder",
    key="style.weights",
    more="(docs/styles.md), or take style=procedural, which needs no weights",
)


def load_networks(
    root: str | Path | None, files: Mapping[str, nn.Module], published: Published = RELEASED
) -> dict[str, str]:
    """Fill frozen networks from the files of the released folder, strictly.

    Args:
        root: The released folder, or one with these files in the same places.
        files: Networks by file below it.
        published: What to say where it is not there.

    Returns:
        SHA-256 of each file.

    Raises:
        CheckpointError: For no folder, missing files, and files that do not hold exactly these networks.
    """
    folder = published.find(root, files)
    for name, network in files.items():
        fill(network, folder / name, read_tensors(folder / name))
        network.eval().requires_grad_(False)
    return {name: digest_file(folder / name) for name in files}


def at_height(page: Image.Image, height: int | None, render: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """Render a page at a height, its aspect kept, and bring the result back to the page's size; None: as it is.

    ``info`` of a result that was resized holds the size that it was rendered at.
    """
    return as_page(render(fit_height(page, height)), page)


def fit_height(page: Image.Image, height: int | None) -> Image.Image:
    """The page at a height, its aspect kept; None: as it is."""
    if height is None or height == page.height:
        return page
    return page.resize((max(1, round(page.width * height / page.height)), height), Image.Resampling.BICUBIC)


def as_page(rendered: Image.Image, page: Image.Image) -> Image.Image:
    """What was rendered of a page after `fit_height`, at the page's size."""
    if rendered.size == page.size:
        return rendered
    result = rendered.resize(page.size, Image.Resampling.BICUBIC)
    result.info[NATIVE_SIZE] = rendered.size
    return result


def check_height(height: int | None, key: str = "style.height") -> None:
    """Raise ValueError for a height below one pixel; ``key`` is what names it on the command line."""
    if height is not None and height < 1:
        raise ValueError(f"{key}: expected at least 1 pixel, or null for the page's own, got {height}")


def to_batch(page: Image.Image) -> torch.Tensor:
    """``(1, 3, H, W)`` uint8 of a page."""
    rgb = page.convert("RGB")
    pixels = torch.frombuffer(bytearray(rgb.tobytes()), dtype=torch.uint8)
    return pixels.view(1, rgb.height, rgb.width, 3).permute(0, 3, 1, 2)


def to_page(levels: torch.Tensor) -> Image.Image:
    """An RGB image of ``(H, W)`` uint8, three equal channels."""
    return Image.fromarray(levels.cpu().numpy()).convert("RGB")
