"""A head: ears, hair behind and in front, face, hat.

Head frame: the centre at (0, 0), half the head's height is 1, y down, looking towards +x.
"""

from __future__ import annotations

import numpy as np

from colorflow.toon.brush import WHITE, Brush
from colorflow.toon.cast import Body, Design, Pose
from colorflow.toon.face import draw_face
from colorflow.toon.geometry import Points, circle, ellipse, move, points, smooth, turn
from colorflow.toon.hat import draw_hat


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
