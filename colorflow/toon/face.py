"""Eyes, nose, mouth. Head frame (see ``head``)."""

from __future__ import annotations

from colorflow.toon.brush import INK, WHITE, Brush
from colorflow.toon.cast import Design, Pose
from colorflow.toon.geometry import circle, ellipse, move, points, smooth


def draw_face(brush: Brush, design: Design, pose: Pose) -> None:
    """Draw the face, turned by ``pose.look``."""
    wide = design.body.wide
    x, y = pose.look[0] * wide, 0.12 + pose.look[1]
    gap = design.eye_gap * wide
    for side in (-1, 1):
        _draw_eye(brush, design.eyes, x + side * gap, y, pose.blink, pose.look[0])
        if design.brows:
            brow = move(points((-0.15, 0.04), (0.0, -0.03), (0.15, 0.03)), x + side * gap, y - 0.4)
            brush.stroke(brow, 0.9)
        if design.freckles:
            for dot in (-0.09, 0.09):
                brush.dot(x + side * gap * 1.25 + dot, y + 0.36, 0.035, INK)
    if design.eyes == "glasses":
        brush.stroke(points((x - gap + 0.27, y), (x + gap - 0.27, y)), 1.0)
    _draw_nose(brush, design.nose, x + 0.04, y + 0.3)
    _draw_mouth(brush, pose.mouth, x + 0.03, y + (0.58 if design.nose == "muzzle" else 0.52))


def _draw_eye(brush: Brush, kind: str, x: float, y: float, blink: bool, look: float) -> None:
    if blink:
        brush.stroke(points((x - 0.17, y), (x, y + 0.08), (x + 0.17, y)), 1.1)
    elif kind == "dots":
        brush.fill(ellipse(x, y, 0.1, 0.15, 16), INK)
        brush.fill(ellipse(x + 0.03, y - 0.06, 0.035, 0.045, 8), WHITE)
    elif kind == "ovals":
        brush.fill(ellipse(x, y, 0.13, 0.25, 18), INK)
        brush.fill(ellipse(x + 0.04, y - 0.1, 0.05, 0.075, 10), WHITE)
    elif kind == "wide":
        brush.shape(ellipse(x, y, 0.25, 0.3, 22), WHITE, 0.9)
        brush.fill(ellipse(x + 0.3 * look + 0.02, y + 0.03, 0.11, 0.15, 14), INK)
    elif kind == "glasses":
        brush.shape(ellipse(x, y, 0.29, 0.29, 22), WHITE)
        brush.fill(ellipse(x + 0.3 * look, y, 0.09, 0.12, 12), INK)
    else:
        brush.shape(circle(20)[:11] * (0.25, 0.26) + (x, y - 0.04), WHITE, 0.9)
        brush.fill(ellipse(x + 0.3 * look, y + 0.05, 0.1, 0.1, 12), INK)
        brush.stroke(points((x - 0.28, y - 0.05), (x + 0.28, y - 0.05)), 1.2)


def _draw_nose(brush: Brush, kind: str, x: float, y: float) -> None:
    if kind == "dot":
        brush.fill(ellipse(x, y, 0.05, 0.045, 10), INK)
    elif kind == "button":
        brush.stroke(points((x - 0.02, y - 0.1), (x + 0.1, y), (x - 0.04, y + 0.02)), 0.8)
    elif kind == "muzzle":
        brush.fill(smooth(points((x - 0.15, y - 0.06), (x + 0.15, y - 0.06), (x, y + 0.11)), 4), INK)
        brush.stroke(points((x, y + 0.1), (x, y + 0.24)), 0.8)


def _draw_mouth(brush: Brush, kind: str, x: float, y: float) -> None:
    if kind == "smile":
        brush.stroke(smooth(points((x - 0.24, y - 0.04), (x, y + 0.1), (x + 0.24, y - 0.05)), closed=False), 1.0)
    elif kind == "open":
        brush.shape(circle(20)[:11] * (0.25, 0.3) + (x, y - 0.04), WHITE)
        brush.fill(circle(20)[:11] * (0.21, 0.24) + (x, y - 0.02), INK)
    elif kind == "grin":
        brush.shape(circle(20)[:11] * (0.29, 0.22) + (x, y - 0.04), WHITE)
    elif kind == "oh":
        brush.fill(ellipse(x, y + 0.04, 0.09, 0.13, 14), INK)
    elif kind == "line":
        brush.stroke(points((x - 0.15, y + 0.02), (x + 0.17, y - 0.02)), 1.0)
    else:
        waves = points(
            (x - 0.24, y - 0.02), (x - 0.12, y + 0.07), (x, y - 0.02), (x + 0.12, y + 0.07), (x + 0.24, y - 0.02)
        )
        brush.stroke(smooth(waves, closed=False), 1.0)
