"""Guided super-resolution of a page: ICP's small colour result and the page itself to the page in colour."""

from __future__ import annotations

import torch
from PIL import Image
from torch import Tensor

from colorflow.canvas import fit_box
from colorflow.models.gsrp.model import GSRPModel
from colorflow.utils.images import to_image, to_tensor


@torch.no_grad()
def super_resolve(model: GSRPModel, page: Image.Image, color: Image.Image) -> Image.Image:
    """Colour a page at its own size and aspect.

    Args:
        model: In evaluation mode.
        page: The page, any size and mode; only its luminance is used.
        color: W x H, ICP's result for the page as `fit_page` brought it to that size.

    Returns:
        RGB, the size of ``page``; what `fit_page` cropped away stays gray.
    """
    box = fit_box(page.size, color.size)
    gray = page.convert("L")
    device = model.vae.device
    shown = to_tensor(gray.crop(box))[None].to(device)
    result = to_image(model(shown, to_tensor(color)[None].to(device))[0])
    whole = gray.convert("RGB")
    whole.paste(result, box[:2])
    return whole


@torch.no_grad()
def super_resolve_released(model: GSRPModel, page: Image.Image, color: Image.Image, noise: Tensor) -> Image.Image:
    """Colour a page as the released demo does (released code 5): 8 bits in between, posterior sampled, truncated.

    Args:
        model: In evaluation mode.
        page: Black-and-white page, at the size of the result.
        color: W x H, ICP's result for the page.
        noise: ``(1, C, h, w)`` standard normal draw of the posterior.

    Returns:
        RGB, the size of ``page``.
    """
    device = model.vae.device
    upsampled = color.resize(page.size, Image.Resampling.BICUBIC)
    shown = (to_tensor(image)[None].to(device) for image in (page.convert("L"), upsampled))
    return to_image(model(*shown, noise.to(device))[0], truncate=True)
