"""Who plays in a chapter: shapes of its characters, drawn from a large space, colours apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

HAIR = (
    "long", "bob", "cloud", "spikes", "pigtails", "ponytail", "buns", "topknot", "mohawk", "tuft", "braids", "flame",
)  # fmt: skip
FRINGES = ("bangs", "zigzag", "swoop", "parted", "peak", "high")
EARS = ("human", "human", "cat", "bear", "bunny", "elf", "dog")
HATS = ("none", "none", "cap", "cone", "tophat", "crown", "beanie", "bow", "flower", "headphones", "horns", "antennae")
EYES = ("dots", "ovals", "wide", "glasses", "sleepy")
NOSES = ("dot", "button", "muzzle", "none")
TOPS = ("plain", "stripes", "emblem", "collar", "buttons", "scarf")
BOTTOMS = ("shorts", "trousers", "skirt", "overalls", "gown")
PROPS = ("balloon", "umbrella", "sword", "wand", "book", "flower", "lollipop", "flag", "ball", "bag")
TAILS = {"cat": "long", "bunny": "puff", "dog": "short", "bear": "puff"}


@dataclass(frozen=True)
class Body:
    """Proportions, in figure heights unless said otherwise.

    Attributes:
        head: Height of the head.
        wide: Half-width of the head over its half-height.
        square: Superellipse exponent of the head, 2 is round.
        taper: How much wider the jaw is than the brow (negative: a pointed chin).
        leg: Length of the legs.
        shoulder: Half-width at the shoulders.
        belly: Half-width in the middle.
        hip: Half-width at the hips.
        limb: Thickness of the arms.
    """

    head: float
    wide: float
    square: float
    taper: float
    leg: float
    shoulder: float
    belly: float
    hip: float
    limb: float


@dataclass(frozen=True)
class Design:
    """The shape of one character; its colours are in the chapter's table."""

    body: Body
    hair: str
    volume: float
    fringe: str
    ears: str
    hat: str
    eyes: str
    eye_gap: float
    nose: str
    brows: bool
    freckles: bool
    top: str
    long_sleeves: bool
    bottom: str
    prop: str
    shoes: str
    emblem: int


@dataclass(frozen=True)
class Pose:
    """How a character stands in one panel; angles in degrees, 0 is straight down."""

    lean: float
    tilt: float
    look: tuple[float, float]
    near_arm: tuple[float, float]
    far_arm: tuple[float, float]
    legs: tuple[float, float]
    mouth: str
    blink: bool
    holds: bool


MOUTHS = ("smile", "open", "grin", "oh", "line", "cat")
ARMS = ((18.0, 30.0), (35.0, 95.0), (60.0, 140.0), (100.0, 150.0), (55.0, 20.0), (25.0, 10.0), (120.0, 175.0))
LEGS = ((8.0, -8.0), (4.0, -4.0), (24.0, -20.0), (16.0, -6.0), (-2.0, -20.0))


def draw_cast(rng: np.random.Generator, count: int) -> tuple[Design, ...]:
    """Design ``count`` characters that differ in hair, ears or hat, prop and build."""
    hair, hats, props = (_deal(rng, names, count) for names in (HAIR, HATS, PROPS))
    ears, tops, bottoms = (_deal(rng, names, count) for names in (EARS, TOPS, BOTTOMS))
    eyes, fringes = _deal(rng, EYES, count), _deal(rng, FRINGES, count)
    builds = (rng.permutation(count) + 0.8 * rng.random(count)) / count
    heads = (rng.permutation(count) + 0.8 * rng.random(count)) / count
    return tuple(
        Design(
            body=_build(rng, float(builds[i]), float(heads[i])),
            hair=hair[i],
            volume=float(rng.uniform(0.9, 1.12)),
            fringe=fringes[i],
            ears="human" if hats[i] == "headphones" else ears[i],
            hat=hats[i],
            eyes=eyes[i],
            eye_gap=float(rng.uniform(0.36, 0.46)),
            nose=str(rng.choice(NOSES)),
            brows=bool(rng.random() < 0.6),
            freckles=bool(rng.random() < 0.3),
            top=tops[i],
            long_sleeves=bool(rng.random() < 0.5),
            bottom=bottoms[i],
            prop=props[i],
            shoes=str(rng.choice(("prop", "top", "hair"))),
            emblem=int(rng.integers(3)),
        )
        for i in range(count)
    )


def _deal(rng: np.random.Generator, names: tuple[str, ...], count: int) -> list[str]:
    """``count`` names without a repeat while they last."""
    order = [names[int(k)] for _ in range(-(-count // len(names))) for k in rng.permutation(len(names))]
    return order[:count]


def _build(rng: np.random.Generator, build: float, head: float) -> Body:
    """Slim (0) to stout (1), round-headed (0) to wide-headed (1)."""
    belly = 0.095 + 0.085 * build
    pear = float(rng.uniform(-0.03, 0.035))
    return Body(
        head=float(rng.uniform(0.42, 0.5)),
        wide=0.92 + 0.3 * head,
        square=float(rng.uniform(2.0, 2.9)),
        taper=float(rng.uniform(-0.16, 0.14)),
        leg=float(rng.uniform(0.17, 0.27)) - 0.05 * build,
        shoulder=belly * 0.86 - pear * 0.6,
        belly=belly,
        hip=belly * 0.94 + pear * 0.6,
        limb=float(rng.uniform(0.062, 0.08)),
    )


def strike_pose(rng: np.random.Generator) -> Pose:
    """A pose at random."""
    near, far = ARMS[int(rng.integers(len(ARMS)))], ARMS[int(rng.integers(len(ARMS)))]
    legs = LEGS[int(rng.integers(len(LEGS)))]
    return Pose(
        lean=float(rng.uniform(-4, 4)),
        tilt=float(rng.uniform(-9, 9)),
        look=(float(rng.uniform(-0.05, 0.24)), float(rng.uniform(-0.05, 0.07))),
        near_arm=(near[0] + float(rng.uniform(-6, 6)), near[1] + float(rng.uniform(-8, 8))),
        far_arm=(far[0] + float(rng.uniform(-6, 6)), far[1] + float(rng.uniform(-8, 8))),
        legs=legs,
        mouth=str(rng.choice(MOUTHS)),
        blink=bool(rng.random() < 0.1),
        holds=bool(rng.random() < 0.8),
    )
