"""A head: ears, hair behind and in front, face, headgear in the prop's colour.

Head frame: the centre at (0, 0), half the head's height is 1, y down, looking towards +x.
"""

from __future__ import annotations

import numpy as np

from colorflow.toon.brush import INK, WHITE, Brush
from colorflow.toon.cast import Body, Design, Pose
from colorflow.toon.geometry import Points, circle, ellipse, move, points, smooth, tube, turn


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


def draw_hat(brush: Brush, kind: str, wide: float, fill: int) -> None:
    """Draw one of ``cast.HATS`` on a head of half-width ``wide``."""
    hats = {
        "cap": _cap, "cone": _cone, "tophat": _tophat, "crown": _crown, "beanie": _beanie, "bow": _bow,
        "flower": _flower, "headphones": _headphones, "horns": _horns, "antennae": _antennae,
    }  # fmt: skip
    if kind in hats:
        hats[kind](brush, wide, fill)


def _cap(brush: Brush, wide: float, fill: int) -> None:
    brush.shape(circle(28)[14:] * (wide * 1.1, 0.78) + (0, -0.5), fill)
    brush.shape(smooth(points((0.1, -0.62), (wide, -0.66), (wide * 1.75, -0.42), (wide, -0.4), (0.1, -0.42))), fill)
    brush.shape(ellipse(0, -1.27, 0.1, 0.07, 12), fill)


def _cone(brush: Brush, wide: float, fill: int) -> None:
    brush.shape(points((-wide * 0.72, -0.7), (0.12, -2.1), (wide * 0.72, -0.7), (0, -0.56)), fill)
    brush.stroke(points((-0.36, -1.15), (0.52, -0.98)), 0.9)
    brush.shape(ellipse(0.12, -2.1, 0.17, 0.17, 16), WHITE)


def _tophat(brush: Brush, wide: float, fill: int) -> None:
    brush.shape(points((-wide * 0.66, -0.7), (-wide * 0.76, -1.8), (wide * 0.76, -1.8), (wide * 0.66, -0.7)), fill)
    brush.shape(points((-wide * 0.68, -0.8), (-wide * 0.7, -1.05), (wide * 0.7, -1.05), (wide * 0.68, -0.8)), WHITE)
    brush.shape(ellipse(0, -0.72, wide * 1.2, 0.17), fill)


def _crown(brush: Brush, wide: float, fill: int) -> None:
    top = [(-0.85, -1.5), (-0.42, -1.15), (0.0, -1.62), (0.42, -1.15), (0.85, -1.5), (0.72, -0.68), (0.0, -0.6)]
    brush.shape(points((-0.72, -0.68), *top) * (wide, 1.0), fill)
    for x in (-0.35, 0.0, 0.35):
        brush.shape(ellipse(x * wide, -0.86, 0.08, 0.08, 12), WHITE, 0.7)


def _beanie(brush: Brush, wide: float, fill: int) -> None:
    brush.shape(ellipse(0, -1.42, 0.25, 0.25, 18), WHITE)
    brush.shape(circle(28)[14:] * (wide * 1.1, 0.86) + (0, -0.5), fill)
    brush.shape(tube(points((-wide * 1.04, -0.5), (0, -0.58), (wide * 1.04, -0.5)), 0.32), fill)
    for x in (-0.6, -0.2, 0.2, 0.6):
        brush.stroke(points((x * wide, -0.64), (x * wide, -0.45)), 0.7)


def _bow(brush: Brush, wide: float, fill: int) -> None:
    x, y = wide * 0.45, -1.0
    for side in (-1, 1):
        wing = smooth(points((0, 0), (side * 0.3, -0.38), (side * 0.68, -0.36), (side * 0.66, 0.34), (side * 0.3, 0.3)))
        brush.shape(move(wing, x, y), fill)
    brush.shape(ellipse(x, y, 0.16, 0.18, 14), fill)


def _flower(brush: Brush, wide: float, fill: int) -> None:
    x, y = -wide * 0.62, -0.78
    for dx, dy in circle(5, 0.25) * 0.26:
        brush.shape(ellipse(x + float(dx), y + float(dy), 0.21, 0.21, 14), fill)
    brush.shape(ellipse(x, y, 0.16, 0.16, 14), WHITE)


def _headphones(brush: Brush, wide: float, fill: int) -> None:
    arc = circle(28)[14:] * (wide * 1.12, 1.2) + (0, 0.0)
    brush.shape(tube(np.concatenate([arc, points((wide * 1.12, 0.0))]), 0.2), fill)
    for side in (-1, 1):
        brush.shape(ellipse(side * wide * 1.1, 0.12, 0.27, 0.38), fill)


def _horns(brush: Brush, wide: float, fill: int) -> None:
    for side in (-1, 1):
        path = points((wide * 0.55, -0.8), (wide * 0.95, -1.15), (wide * 0.85, -1.65)) * (side, 1.0)
        brush.shape(tube(smooth(path, closed=False), (0.4, 0.26, 0.06)), fill)


def _antennae(brush: Brush, wide: float, fill: int) -> None:
    for side in (-1, 1):
        path = points((wide * 0.25, -0.9), (wide * 0.35, -1.4), (wide * 0.62, -1.66)) * (side, 1.0)
        brush.stroke(smooth(path, closed=False), 1.5)
        brush.shape(ellipse(side * wide * 0.64, -1.72, 0.2, 0.2, 16), fill)


def skull(body: Body, count: int = 48) -> Points:
    """Outline of a head: a superellipse, wider at the jaw or at the brow."""
    unit = circle(count)
    power = 2.0 / body.square
    outline = np.round(np.sign(unit) * np.abs(unit) ** power, 6)
    return outline * (body.wide, 1.0) * np.stack([1.0 + body.taper * outline[:, 1], np.ones(count)], axis=1)


def draw_head_back(brush: Brush, design: Design, ink: dict[str, int]) -> None:
    """What lies behind the head: back hair, long ears."""
    hair, wide, big = ink["hair"], design.body.wide, design.volume
    if design.hair == "long":
        right = [(0.0, -1.2), (wide * 0.9, -0.9), (wide * 1.3, 0.1), (wide * 1.25 * big, 1.3), (wide * 0.8, 1.62)]
        brush.shape(smooth(_both(right)), hair)
    elif design.hair == "bob":
        low = [(wide * 1.34 * big, 0.1), (wide * 1.3 * big, 0.75), (wide * 0.7, 0.85)]
        brush.shape(smooth(_both([(0.0, -1.2), (wide * 0.95, -0.9), *low])), hair)
    elif design.hair == "cloud":
        for x, y in circle(9, 0.75) * (wide * 1.12 * big, 1.0) + (0, -0.25):
            brush.shape(ellipse(x, y, 0.46, 0.46, 18), hair)
    elif design.hair in ("spikes", "flame"):
        brush.shape(_spikes(wide, big, design.hair == "flame"), hair)
    elif design.hair == "pigtails":
        for side in (-1, 1):
            tail = points((0, -0.1), (0.42, -0.28), (0.72, 0.15), (0.55, 0.95), (0.25, 0.6)) * (side * big, big)
            brush.shape(move(smooth(tail), side * wide * 0.92, -0.25), hair)
    elif design.hair == "ponytail":
        tail = points((0.2, -0.2), (-0.3, -0.5), (-0.85, -0.25), (-0.95, 0.6), (-0.75, 1.15), (-0.5, 0.5), (-0.2, 0.25))
        brush.shape(move(smooth(tail * big), -wide * 0.75, -0.45), hair)
    elif design.hair == "buns":
        for side in (-1, 1):
            brush.shape(ellipse(side * wide * 0.78, -0.98, 0.44 * big, 0.44 * big), hair)
    elif design.hair == "topknot":
        brush.shape(ellipse(0, -1.32, 0.42 * big, 0.42 * big), hair)
    elif design.hair == "braids":
        for side in (-1, 1):
            for step in (2, 1, 0):
                brush.shape(ellipse(side * wide * (1.04 + 0.05 * step), 0.55 + 0.38 * step, 0.25, 0.25, 16), hair)
    _draw_back_ears(brush, design, ink)


def _both(right: list[tuple[float, float]]) -> Points:
    """Complete a right half, given top to bottom, with its mirror image."""
    return points(*right, *[(-x, y) for x, y in reversed(right) if x])


def _spikes(wide: float, big: float, flame: bool) -> Points:
    if flame:
        right = [(wide, 0.4), (wide * 1.22, -0.3), (wide * 0.95, -0.9), (0.55, -1.2), (0.4, -2.0 * big), (0.0, -1.5)]
        left = [(-0.5, -1.75 * big), (-0.55, -1.2), (-wide * 0.98, -0.9), (-wide * 1.2, -0.3), (-wide, 0.4)]
        return smooth(points(*right, *left), 4)
    reach = np.where(np.arange(22)[:, None] % 2, 1.02, 1.46 * big)
    return (circle(22) * reach * (wide, 1.0))[np.r_[10:22, 0:2]] + (0, -0.06)


def _draw_back_ears(brush: Brush, design: Design, ink: dict[str, int]) -> None:
    wide = design.body.wide
    for side in (-1, 1):
        if design.ears == "bunny":
            ear = smooth(points((-0.22, 0.2), (-0.3, -0.6), (0.0, -1.25), (0.3, -0.6), (0.22, 0.2)))
            brush.shape(turn(ear, side * 14, side * wide * 0.5, -0.85), ink["skin"])
            brush.stroke(turn(points((0.0, -0.1), (0.0, -0.8)), side * 14, side * wide * 0.5, -0.85), 0.9)


def _draw_side_ears(brush: Brush, design: Design, ink: dict[str, int]) -> None:
    wide = design.body.wide
    for side in (-1, 1):
        if design.ears == "human":
            brush.shape(ellipse(side * wide * 0.99, 0.16, 0.17, 0.22, 18), ink["skin"])
        elif design.ears == "elf":
            ear = points((side * wide * 0.85, -0.1), (side * (wide + 0.62), -0.38), (side * wide * 0.9, 0.4))
            brush.shape(ear, ink["skin"])


def _draw_top_ears(brush: Brush, design: Design, ink: dict[str, int]) -> None:
    """Ears that stand or hang in front of the hair."""
    wide = design.body.wide
    for side in (-1, 1):
        if design.ears == "cat":
            ear = points((-0.4, 0.25), (-0.08, -0.62), (0.38, 0.12)) * (side, 1.0)
            brush.shape(ear[::-1] * (-1.0, 1.0) + (side * wide * 0.62, -0.88), ink["skin"])
        elif design.ears == "bear":
            brush.shape(ellipse(side * wide * 0.76, -0.85, 0.36, 0.36), ink["skin"])
            brush.shape(ellipse(side * wide * 0.76, -0.83, 0.17, 0.17, 16), ink["top"], 0.7)
        elif design.ears == "dog":
            ear = smooth(points((0.0, -0.35), (0.38, -0.1), (0.46, 0.7), (0.2, 0.95), (-0.02, 0.4))) * (side, 1.0)
            brush.shape(move(ear, side * wide * 0.82, -0.4), ink["skin"])


def draw_head(brush: Brush, design: Design, pose: Pose, ink: dict[str, int]) -> tuple[float, float, float, float]:
    """Draw the head in front of the body and return the canvas box of the skull."""
    _draw_side_ears(brush, design, ink)
    behind = design.hair in ("tuft", "mohawk") and design.ears != "dog"
    if behind:
        _draw_top_ears(brush, design, ink)
    start = len(brush.drawn)
    brush.shape(skull(design.body), ink["skin"])
    box = brush.extent(start)
    draw_face(brush, design, pose)
    _draw_front_hair(brush, design, ink)
    if not behind:
        _draw_top_ears(brush, design, ink)
    draw_hat(brush, design.hat, design.body.wide, ink["prop"])
    return box


def _draw_front_hair(brush: Brush, design: Design, ink: dict[str, int]) -> None:
    wide, hair, big = design.body.wide, ink["hair"], design.volume
    if design.hair == "tuft":
        for degrees in (-24, 22, 0):
            lock = smooth(points((-0.12, 0.1), (-0.14, -0.25), (0.04, -0.62), (0.14, -0.2), (0.12, 0.1)))
            brush.shape(turn(lock * big, degrees, 0.006 * degrees, -0.95), hair)
        return
    if design.hair == "mohawk":
        left = [(-0.5, -0.6), (-0.55, -1.25), (-0.28, -1.05), (-0.2, -1.62), (0.06, -1.15)]
        right = [(0.26, -1.66), (0.36, -1.08), (0.62, -1.22), (0.46, -0.6), (0.0, -0.42)]
        brush.shape(points(*left, *right) * (1.0, big), hair)
        return
    top = skull(design.body, 40)
    cap = top[(top[:, 1] < -0.12)] * 1.07
    cap = cap[np.argsort(cap[:, 0], kind="stable")]
    edge = points(*_fringe(design.fringe)) * (wide * (1.02 - 0.2 * design.body.taper), 1.0)
    brush.shape(np.concatenate([cap, edge]), hair)
    if design.hat in ("none", "bow", "flower", "horns", "antennae"):
        brush.stroke(circle(40)[23:28] * (wide * 0.86, 0.86), 1.0, WHITE)


def _fringe(kind: str) -> list[tuple[float, float]]:
    """Lower edge of the front hair from right to left, x over the half-width."""
    return {
        "bangs": [(1.0, 0.15), (0.86, 0.12), (0.8, -0.3), (0.45, -0.22), (0.4, -0.32), (0.0, -0.22), (-0.06, -0.32),
                  (-0.45, -0.22), (-0.5, -0.32), (-0.8, -0.26), (-0.86, 0.12), (-1.0, 0.15)],
        "zigzag": [(1.0, 0.05), (0.85, -0.45), (0.6, -0.15), (0.42, -0.5), (0.12, -0.14), (-0.08, -0.5), (-0.4, -0.14),
                   (-0.6, -0.5), (-0.8, -0.1), (-1.0, 0.1)],
        "swoop": [(1.0, -0.05), (0.85, -0.5), (0.5, -0.68), (0.1, -0.62), (-0.35, -0.42), (-0.68, -0.12), (-0.84, 0.2),
                  (-1.0, 0.3)],
        "parted": [(1.0, 0.25), (0.86, 0.2), (0.74, -0.15), (0.45, -0.48), (0.12, -0.78), (-0.2, -0.5), (-0.62, -0.2),
                   (-0.86, 0.2), (-1.0, 0.25)],
        "peak": [(1.0, 0.0), (0.85, -0.35), (0.5, -0.66), (0.0, -0.3), (-0.5, -0.66), (-0.85, -0.35), (-1.0, 0.0)],
        "high": [(1.0, 0.0), (0.88, -0.3), (0.55, -0.62), (0.0, -0.7), (-0.55, -0.62), (-0.88, -0.3), (-1.0, 0.0)],
    }[kind]  # fmt: skip
