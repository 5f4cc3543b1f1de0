"""The inside of a panel: camera, backdrop, actors, bubbles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from colorflow.toon.brush import Brush
from colorflow.toon.bubble import Rect, draw_bubble, draw_caption, place_bubble
from colorflow.toon.cast import strike_pose
from colorflow.toon.figure import draw_figure
from colorflow.toon.geometry import ellipse
from colorflow.toon.scenery import WIDE, Place, draw_burst, draw_scene
from colorflow.toon.world import World

ZOOM = {"full": 1.0, "medium": 1.25, "close": 1.5}


@dataclass(frozen=True)
class Actor:
    """A drawn character; boxes in pixels of the panel's image.

    Attributes:
        id: Number in the cast.
        box: Of everything drawn.
        skull: Of the head without hair and hat.
        crown: Of the head with hair and hat.
    """

    id: int
    box: Rect
    skull: Rect
    crown: Rect


@dataclass(frozen=True)
class Set:
    """An empty panel, ready to be played in.

    Attributes:
        image: "L" image of palette indices, as large as the panel's box.
        line: Line width in its pixels.
        frame: (left, top, right, bottom) inside the slanted borders and beside an inset.
        room: Share of the width, from and to, that no inset covers.
        inset: The panel is an inset.
    """

    image: Image.Image
    line: float
    frame: Rect
    room: tuple[float, float]
    inset: bool


def play(scene: Set, rng: np.random.Generator, world: World, where: int, bubbles: bool) -> list[Actor]:
    """Draw scenery, actors and bubbles of a panel."""
    width, height = float(scene.image.width), float(scene.image.height)
    wide = width * (scene.room[1] - scene.room[0]) / height
    shot = "close" if scene.inset else str(rng.choice(("full", "medium", "close"), p=(0.46, 0.36, 0.18)))
    talk = bubbles and not scene.inset and bool(rng.random() < 0.6)
    brush, place = Brush(scene.image, scene.line), world.places[where]
    _backdrop(brush, rng, place, shot, width, height)
    most = 1 if shot == "close" else 3 if wide > 1.35 else 2 if wide > 0.8 else 1
    count = min(len(world.cast), max(1, int(rng.integers(max(1, most - 1), most + 1))))
    who = [int(k) for k in rng.permutation(len(world.cast))[:count]]
    size, feet = _camera(rng, shot, wide * height, height, count, talk)
    actors = []
    for k, character in enumerate(who):
        share = (k + 0.5 + float(rng.uniform(-0.1, 0.1))) / count
        share = 0.5 + (share - 0.5) * (0.96 if count > 1 else 0.5)
        x = width * (scene.room[0] + share * (scene.room[1] - scene.room[0]))
        facing = 1.0 if (rng.random() < 0.8) == (share < 0.5) else -1.0
        scale = size * float(rng.uniform(0.9, 1.0))
        actors.append(_act(scene, rng, world, place, character, (x, feet), scale, facing))
    if talk:
        _talk(scene, rng, actors)
    elif bubbles and not scene.inset and rng.random() < 0.4:
        _narrate(scene, rng, actors)
    return actors


def _camera(
    rng: np.random.Generator, shot: str, width: float, height: float, count: int, talk: bool
) -> tuple[float, float]:
    """Height of the figures and where their feet are, so that heads stay in the panel."""
    if shot == "full":
        size = min(float(rng.uniform(0.7, 0.8)) * height * (0.9 if talk else 1.0), width / (0.56 * count))
        return size, height * float(rng.uniform(0.93, 0.96))
    low, high, spread = (1.0, 1.2, 0.5) if shot == "medium" else (1.2, 1.4, 0.55)
    size = min(float(rng.uniform(low, high)) * height * (0.92 if talk else 1.0), width / (spread * count))
    return size, max(height * 0.95, height * (0.29 if talk else 0.2) + size * 1.03)


def _backdrop(brush: Brush, rng: np.random.Generator, place: Place, shot: str, width: float, height: float) -> None:
    """Paint the place, or rays or dots behind a close-up."""
    wide, pan, style = width / height, float(rng.random()), float(rng.random())
    horizon = {"full": float(rng.uniform(0.66, 0.76)), "medium": 0.78, "close": 0.9}[shot]
    if shot == "close" and style < 0.75:
        draw_burst(brush.frame(0.0, 0.0, height), place, wide, 1.0, style < 0.4)
        return
    zoom = ZOOM[shot]
    left = pan * max(0.0, WIDE - wide / zoom)
    scene = brush.frame(-left * height * zoom, horizon * height, height * zoom)
    draw_scene(scene, place, left, left + wide / zoom, -horizon / zoom, (1.0 - horizon) / zoom + 0.02)


def _act(
    scene: Set,
    rng: np.random.Generator,
    world: World,
    place: Place,
    character: int,
    feet: tuple[float, float],
    scale: float,
    facing: float,
) -> Actor:
    """Draw one character with a shadow under its feet."""
    design, pose = world.cast[character], strike_pose(rng)
    ground = Brush(scene.image, scene.line, feet, scale)
    ground.fill(ellipse(0.0, 0.0, design.body.hip + 0.13, 0.035), place.ink(5))
    brush = Brush(scene.image, scene.line, feet, scale, facing)
    skull, crown = draw_figure(brush.frame(0.0, 0.0, 1.0, pose.lean), design, pose, character)
    return Actor(character, brush.extent(), skull, crown)


def _talk(scene: Set, rng: np.random.Generator, actors: list[Actor]) -> None:
    """Bubbles, where there is room for them."""
    line, brush = scene.line, Brush(scene.image, scene.line)
    blocked = [(a - line, b - line, c + line, d + line) for a, b, c, d in (actor.crown for actor in actors)]
    for speaker in [int(k) for k in rng.permutation(len(actors))[:2]]:
        heads = [actors[speaker].skull, *(actor.skull for k, actor in enumerate(actors) if k != speaker)]
        rect = place_bubble(rng, scene.frame, heads, blocked, line)
        if rect:
            draw_bubble(rng, brush, rect, actors[speaker].skull)
            blocked.append((rect[0] - line, rect[1] - line, rect[2] + line, rect[3] + line))


def _narrate(scene: Set, rng: np.random.Generator, actors: list[Actor]) -> None:
    """A caption in an upper corner, if no head is there."""
    left, top, right, bottom = scene.frame
    width = float(rng.uniform(0.34, 0.5)) * (right - left)
    height = min(9.0 * scene.line, 0.2 * (bottom - top))
    x = left if rng.random() < 0.6 else right - width
    free = all(a > x + width or c < x or b > top + height for a, b, c, _ in (actor.crown for actor in actors))
    if free and width > 24 * scene.line:
        draw_caption(rng, Brush(scene.image, scene.line), (x, top, x + width, top + height))
