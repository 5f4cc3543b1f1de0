"""An attention map as a picture: the canvas with the region outlined, and the map over it with its scale."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from colorflow.pipelines.attention import AttentionMap
from colorflow.utils.strips import StripCell, draw_strip

_HEIGHT = 720
"""Height of the canvas in the picture, pixels."""

_CLIPPED = 0.005
"""Share of the canvas whose attention is above the scale: a single token often has more than all else (our choice)."""

_RAMP = ((0, 0, 0), (110, 0, 60), (220, 50, 20), (255, 180, 0), (255, 255, 220))
_REGION, _INK, _PAPER = "#00b7ff", "#1b1f24", "#ffffff"
_BAR = (220, 12)
_MARGIN = 12


def draw_attention(found: AttentionMap, title: str = "") -> Image.Image:
    """Draw a map.

    Args:
        found: The map.
        title: Small text under the canvas, such as the page's name.

    Returns:
        RGB: the canvas, the map over the canvas in gray, the scale. Its unit is the attention that every token would
        get if all got the same; above its end, colours stay the same.
    """
    relative = found.weights.double().numpy() * found.weights.numel()
    top = max(float(np.quantile(relative, 1 - _CLIPPED)), 1.0)
    canvas = found.output.canvas
    scale = _HEIGHT / canvas.height
    size = (max(1, round(canvas.width * scale)), _HEIGHT)
    shown, box = canvas.resize(size, Image.Resampling.LANCZOS), [value * scale for value in found.box]
    pictures = [shown, _overlay(shown, relative / top)]
    for picture in pictures:
        ImageDraw.Draw(picture).rectangle(box, outline=_REGION, width=3)
    grid = f"{found.weights.shape[1]} x {found.weights.shape[0]} tokens"
    steps = f"steps {', '.join(map(str, found.steps))}" if len(found.steps) < 8 else f"{len(found.steps)} steps"
    cells = [
        StripCell("canvas", "Canvas and region", pictures[0], title),
        StripCell("attention", "What the region attends to", pictures[1], f"{found.layer}, {grid}, {steps}"),
    ]
    return _with_scale(draw_strip([cells], _HEIGHT), top)


def _overlay(canvas: Image.Image, heat: np.ndarray) -> Image.Image:
    """Heat in [0, 1] (clipped) over the canvas in pale gray, the less transparent the hotter."""
    levels = Image.fromarray((heat.clip(0, 1) * 255).astype(np.float32)).resize(canvas.size, Image.Resampling.BILINEAR)
    values = np.asarray(levels) / 255
    opacity = 0.35 + 0.55 * values[..., None]
    gray = np.asarray(canvas.convert("L"), np.float64)[..., None]
    return Image.fromarray((opacity * _colors(values) + (1 - opacity) * gray).round().astype(np.uint8))


def _colors(values: np.ndarray) -> np.ndarray:
    """The ramp's colours ``(..., 3)`` in [0, 255] of values in [0, 1]."""
    stops = np.linspace(0, 1, len(_RAMP))
    return np.stack([np.interp(values, stops, [color[band] for color in _RAMP]) for band in range(3)], axis=-1)


def _with_scale(picture: Image.Image, top: float) -> Image.Image:
    """Add the colour bar below."""
    whole = Image.new("RGB", (picture.width, picture.height + 3 * _MARGIN + _BAR[1]), _PAPER)
    whole.paste(picture)
    bar = np.broadcast_to(_colors(np.linspace(0, 1, _BAR[0])), (_BAR[1], _BAR[0], 3)).round().astype(np.uint8)
    y, font, draw = picture.height + _MARGIN, ImageFont.load_default(13), ImageDraw.Draw(whole)
    text, unit = "0", f"{top:.3g} times an even share, or more"
    left = _MARGIN + round(draw.textlength(text, font=font)) + _MARGIN // 2
    draw.text((_MARGIN, y + _BAR[1] // 2), text, font=font, fill=_INK, anchor="lm")
    whole.paste(Image.fromarray(bar), (left, y))
    draw.text((left + _BAR[0] + _MARGIN // 2, y + _BAR[1] // 2), unit, font=font, fill=_INK, anchor="lm")
    return whole
