"""A whole character: legs, clothes, arms, prop, and the head on top.

Figure frame: feet at y = 0, the crown of the head at y = -1, looking towards +x. What is held has a frame of its own:
the hand at (0, 0), y down.
"""

from __future__ import annotations

import numpy as np

from colorflow.toon.brush import FIRST_PART, WHITE, Brush
from colorflow.toon.bubble import Rect
from colorflow.toon.cast import TAILS, Design, Pose
from colorflow.toon.geometry import Points, circle, ellipse, move, points, smooth, tube, turn
from colorflow.toon.head import draw_head, draw_head_back
from colorflow.toon.spec import PARTS


def draw_prop(brush: Brush, kind: str, fill: int) -> None:
    """Draw one of ``cast.PROPS`` in the palette index ``fill``."""
    props = {
        "balloon": _balloon, "umbrella": _umbrella, "sword": _sword, "wand": _wand, "book": _book,
        "flower": _flower, "lollipop": _lollipop, "flag": _flag, "ball": _ball, "bag": _bag,
    }  # fmt: skip
    props[kind](brush, fill)


def _balloon(brush: Brush, fill: int) -> None:
    brush.stroke(smooth(points((0, 0), (0.03, -0.12), (0.0, -0.22), (0.04, -0.34)), closed=False), 0.8)
    brush.shape(
        smooth(points((0.04, -0.34), (-0.08, -0.45), (-0.07, -0.58), (0.04, -0.64), (0.15, -0.58), (0.16, -0.45))), fill
    )
    brush.fill(ellipse(-0.01, -0.55, 0.018, 0.035, 12), WHITE)


def _umbrella(brush: Brush, fill: int) -> None:
    brush.stroke(points((0, 0.1), (0, -0.4)), 1.6)
    hem = [(0.27 - 0.09 * k, -0.28 - (0.035 if k % 2 else 0.0)) for k in range(7)]
    dome = circle(24)[12:] * (0.27, 0.24) + (0, -0.28)
    brush.shape(np.concatenate([dome, points(*hem)]), fill)
    for x in (-0.09, 0.09):
        brush.stroke(points((x, -0.3), (x * 0.4, -0.51)), 0.7)


def _sword(brush: Brush, fill: int) -> None:
    brush.shape(points((-0.03, -0.06), (0.03, -0.06), (0.036, -0.4), (0, -0.47), (-0.036, -0.4)), fill)
    brush.stroke(points((0, -0.1), (0, -0.38)), 0.6)
    brush.shape(tube(points((0, 0.07), (0, -0.05)), 0.035), fill)
    brush.shape(tube(points((-0.075, -0.055), (0.075, -0.055)), 0.035), fill)


def _wand(brush: Brush, fill: int) -> None:
    brush.stroke(points((0, 0.08), (0, -0.24)), 2.2)
    star = circle(10, 0.25) * np.where(np.arange(10)[:, None] % 2, 0.125, 0.06)
    brush.shape(move(star, 0, -0.3), fill)


def _book(brush: Brush, fill: int) -> None:
    brush.shape(points((-0.02, -0.15), (0.17, -0.19), (0.17, 0.05), (-0.02, 0.09)), fill)
    brush.shape(points((-0.02, -0.15), (-0.06, -0.17), (-0.06, 0.06), (-0.02, 0.09)), WHITE, 0.8)
    brush.stroke(points((0.03, -0.1), (0.12, -0.12)), 0.8)


def _flower(brush: Brush, fill: int) -> None:
    brush.stroke(smooth(points((0, 0.08), (0.02, -0.1), (0, -0.26)), closed=False), 1.4)
    for x, y in circle(5, 0.75) * 0.075 + (0, -0.29):
        brush.shape(ellipse(float(x), float(y), 0.058, 0.058, 14), fill, 0.8)
    brush.shape(ellipse(0, -0.29, 0.04, 0.04, 14), WHITE, 0.8)


def _lollipop(brush: Brush, fill: int) -> None:
    brush.stroke(points((0, 0.08), (0, -0.2)), 1.6)
    brush.shape(ellipse(0, -0.29, 0.12, 0.12), fill)
    spiral = circle(24)[:20] * np.linspace(0.02, 0.085, 20)[:, None] + (0, -0.29)
    brush.stroke(spiral, 0.8)


def _flag(brush: Brush, fill: int) -> None:
    brush.stroke(points((0, 0.12), (0, -0.46)), 1.6)
    top = smooth(points((0, -0.45), (0.09, -0.48), (0.17, -0.43), (0.28, -0.45)), closed=False)
    brush.shape(np.concatenate([top, points((0.2, -0.36)), move(top[::-1], 0, 0.18)]), fill)


def _ball(brush: Brush, fill: int) -> None:
    brush.shape(ellipse(0.06, -0.03, 0.12, 0.12), fill)
    brush.stroke(smooth(points((-0.05, -0.06), (0.06, -0.01), (0.17, -0.07)), closed=False), 0.8)
    brush.stroke(smooth(points((0.04, -0.14), (0.08, -0.03), (0.05, 0.08)), closed=False), 0.8)


def _bag(brush: Brush, fill: int) -> None:
    brush.stroke(smooth(points((-0.05, 0.1), (-0.03, 0.0), (0.03, 0.0), (0.05, 0.1)), closed=False), 1.4)
    brush.shape(points((-0.1, 0.07), (0.1, 0.07), (0.12, 0.24), (-0.12, 0.24)), fill)
    brush.stroke(points((-0.1, 0.13), (0.11, 0.13)), 0.8)


def part_index(character: int) -> dict[str, int]:
    """Palette index of each part of a character."""
    return {name: FIRST_PART + character * len(PARTS) + k for k, name in enumerate(PARTS)}


def draw_figure(brush: Brush, design: Design, pose: Pose, character: int) -> tuple[Rect, Rect]:
    """Draw a character and return the canvas boxes of its skull and of its head with hair and hat."""
    ink = part_index(character)
    body = design.body
    neck = -(1.0 - body.head * 0.94)
    half = body.head * 0.5
    tilted = turn(points((0.0, -half * 0.93)), pose.tilt * 0.5)[0]
    skull = brush.frame(float(tilted[0]), neck + float(tilted[1]), half, pose.tilt)
    _draw_tail(brush, design, ink)
    start = len(skull.drawn)
    draw_head_back(skull, design, ink)
    back = skull.extent(start) if len(skull.drawn) > start else None
    _draw_arm(brush, design, pose, ink, far=True)
    _draw_legs(brush, design, pose, ink)
    _draw_clothes(brush, design, ink, neck)
    _draw_arm(brush, design, pose, ink, far=False)
    start = len(skull.drawn)
    bone = draw_head(skull, design, pose, ink)
    front = skull.extent(start)
    return bone, (min(front[0], back[0]), min(front[1], back[1]), max(front[2], back[2]), front[3]) if back else front


def _draw_tail(brush: Brush, design: Design, ink: dict[str, int]) -> None:
    kind = TAILS.get(design.ears)
    base, hip = -design.body.leg - 0.05, design.body.hip
    if kind == "long":
        path = points(
            (-hip * 0.5, base), (-hip - 0.1, base + 0.06), (-hip - 0.2, base - 0.05), (-hip - 0.17, base - 0.2)
        )
        brush.shape(tube(smooth(path, closed=False), (0.05, 0.055)), ink["hair"])
    elif kind == "short":
        path = points((-hip * 0.5, base), (-hip - 0.07, base - 0.05), (-hip - 0.12, base - 0.14))
        brush.shape(tube(smooth(path, closed=False), (0.07, 0.04)), ink["hair"])
    elif kind == "puff":
        brush.shape(ellipse(-hip - 0.01, base + 0.02, 0.05, 0.05), ink["hair"])


def _draw_legs(brush: Brush, design: Design, pose: Pose, ink: dict[str, int]) -> None:
    body = design.body
    spread, width = body.hip * 0.5, min(body.hip * 0.85, 0.1)
    covered = design.bottom in ("trousers", "overalls")
    for side, angle in ((-1, pose.legs[1]), (1, pose.legs[0])):
        hip = points((side * spread, -body.leg - 0.05))
        foot = turn(points((0.0, body.leg + 0.025)), -angle)[0] + hip[0]
        foot[1] = min(foot[1], -0.028)
        leg = tube(np.stack([hip[0], 0.5 * (hip[0] + foot) + (0.006, 0.0), foot]), width)
        brush.shape(leg, ink["bottom"] if covered else ink["skin"])
        brush.shape(ellipse(float(foot[0]) + 0.022, float(foot[1]), 0.062, 0.033), ink[design.shoes])


def _torso(design: Design, neck: float) -> Points:
    body = design.body
    hip = -body.leg - 0.03
    middle = 0.5 * (hip + neck)
    right = [(body.shoulder, neck + 0.012), (body.belly, middle), (body.hip, hip - 0.02), (body.hip * 0.8, hip + 0.02)]
    return smooth(points(*right, *[(-x, y) for x, y in reversed(right)]), 5)


def _draw_clothes(brush: Brush, design: Design, ink: dict[str, int], neck: float) -> None:
    body = design.body
    hip = -body.leg - 0.03
    waist = hip - (hip - neck) * 0.3
    brush.shape(_torso(design, neck), ink["top"])
    _decorate(brush, design, ink, neck, waist)
    if design.bottom in ("skirt", "gown"):
        high = waist if design.bottom == "skirt" else waist - (hip - neck) * 0.16
        low = hip + body.leg * (0.45 if design.bottom == "skirt" else 0.78)
        flare = body.hip + (0.075 if design.bottom == "skirt" else 0.095)
        hem = [(flare * k, low + (0.018 if j % 2 else 0.0)) for j, k in enumerate((1.0, 0.6, 0.2, -0.2, -0.6, -1.0))]
        edge = body.belly * 0.97
        brush.shape(points((-edge, high), (edge, high), *hem), ink["bottom"])
        return
    cuff = hip + body.leg * 0.42
    left = [(-body.hip * 1.04, cuff), (-body.belly * 1.01, waist)]
    right = [(body.belly * 1.01, waist), (body.hip * 1.04, cuff), (body.hip * 0.16, cuff), (0.0, hip + 0.03)]
    brush.shape(points(*left, *right, (-body.hip * 0.16, cuff)), ink["bottom"])
    if design.bottom == "overalls":
        bib, top = body.shoulder * 0.62, neck + (waist - neck) * 0.3
        front = points((-bib, top), (bib, top), (bib * 1.1, waist + 0.01), (-bib * 1.1, waist + 0.01))
        brush.shape(front, ink["bottom"])
        seam = points((-bib, waist - 0.02), (bib, waist - 0.02), (bib, waist + 0.025), (-bib, waist + 0.025))
        brush.fill(seam, ink["bottom"], 0.4)


def _decorate(brush: Brush, design: Design, ink: dict[str, int], neck: float, waist: float) -> None:
    """Pattern or accessory of the top, in the prop's colour."""
    wide, span = design.body.belly, waist - neck
    if design.top == "stripes":
        for low in (0.4, 0.78):
            y = neck + span * low
            x = wide * (0.84 + 0.1 * low)
            brush.fill(points((-x, y), (x, y), (x, y + span * 0.18), (-x, y + span * 0.18)), ink["prop"], 0.3)
    elif design.top == "emblem":
        brush.shape(emblem(design.emblem) * (wide * 0.42) + (0.0, neck + span * 0.62), ink["prop"], 0.7)
    elif design.top == "collar":
        for side in (-1, 1):
            flap = points((0, neck), (side * wide * 0.8, neck), (side * wide * 0.55, neck + span * 0.45))
            brush.shape(flap, ink["prop"], 0.8)
    elif design.top == "buttons":
        for low in (0.42, 0.8):
            brush.shape(ellipse(0.0, neck + span * low, 0.016, 0.016, 12), ink["prop"], 0.7)
    elif design.top == "scarf":
        brush.shape(tube(points((wide * 0.5, neck), (wide * 0.75, neck + span * 0.9)), 0.07), ink["prop"])
        brush.shape(tube(points((-wide * 0.8, neck + 0.01), (wide * 0.8, neck + 0.01)), 0.085), ink["prop"])


def emblem(kind: int) -> Points:
    """Star, heart or diamond of radius 1."""
    if kind == 0:
        return circle(10, 0.25) * np.where(np.arange(10)[:, None] % 2, 1.0, 0.5)
    if kind == 1:
        half = [(0.0, -0.45), (0.5, -0.95), (1.0, -0.5), (0.7, 0.2)]
        return smooth(points(*half, (0.0, 0.95), *[(-x, y) for x, y in reversed(half[1:])]), 4)
    return circle(4) * (0.8, 1.0)


def _draw_arm(brush: Brush, design: Design, pose: Pose, ink: dict[str, int], far: bool) -> None:
    body = design.body
    upper, fore = pose.far_arm if far else pose.near_arm
    side = -1.0 if far else 1.0
    length = 0.14 + 0.25 * (0.5 - body.head)
    shoulder = points((side * body.shoulder * 0.9, -(1.0 - body.head * 0.94) + 0.04))[0]
    elbow = shoulder + turn(points((0.0, length)), -side * upper)[0]
    hand = elbow + turn(points((0.0, length * 0.92)), -side * fore)[0]
    path = smooth(np.stack([shoulder, elbow, hand]), 5, closed=False)
    if not far and pose.holds:
        draw_prop(brush.frame(float(hand[0]), float(hand[1]), 1.0, 8.0), design.prop, ink["prop"])
    brush.shape(tube(path, body.limb), ink["skin"])
    brush.shape(ellipse(float(hand[0]), float(hand[1]), body.limb * 0.66, body.limb * 0.66, 16), ink["skin"])
    brush.fill(tube(path[-4:-1], body.limb), ink["skin"], 0.5)
    sleeve = path[: 9 if design.long_sleeves else 5]
    brush.shape(tube(sleeve, (body.limb * 1.1, body.limb * 1.25)), ink["top"])
