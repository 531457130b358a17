"""The renderer of the `fruits` task: 32x32 images of fruit, each with its true attributes.

Shapes are signed distances in a fruit's own coordinates (unit: its radius; u to the right, v down),
painted back to front on a canvas of three times the resolution and averaged down, so every edge is
antialiased. One light from the upper left shades what is round.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

SIZE = 32
SUPERSAMPLING = 3
FINE = SIZE * SUPERSAMPLING

Array = np.ndarray

COLOURS = {
    "red": (206, 38, 44),
    "green": (98, 172, 52),
    "yellow": (246, 206, 48),
    "purple": (112, 48, 138),
    "orange": (246, 136, 28),
}
BACKGROUNDS = {
    "white": (240, 240, 236),
    "blue": (125, 170, 220),
    "pink": (240, 185, 200),
    "gray": (165, 165, 170),
    "brown": (160, 120, 85),
}
STEM, LEAF = (95, 65, 30), (70, 140, 45)


def rgb(colour: tuple[int, int, int]) -> Array:
    """(3,) float64 in [0, 1]."""
    return np.asarray(colour, dtype=np.float64) / 255


# ---------------------------------------------------------------- signed distances


def ellipse(u: Array, v: Array, rx: float, ry: float) -> Array:
    """Distance to an ellipse at the origin, negative inside (exact for a circle)."""
    return (np.hypot(u / rx, v / ry) - 1) * min(rx, ry)


def segment(u: Array, v: Array, a: tuple[float, float], b: tuple[float, float]) -> Array:
    """Distance to the line from a to b."""
    (ax, ay), (bx, by) = a, b
    along = ((u - ax) * (bx - ax) + (v - ay) * (by - ay)) / ((bx - ax) ** 2 + (by - ay) ** 2)
    along = np.clip(along, 0, 1)
    return np.hypot(u - ax - along * (bx - ax), v - ay - along * (by - ay))


def union(*distances: Array, smooth: float = 0.0) -> Array:
    """Distance to a union; `smooth` rounds the inner corners (polynomial smooth minimum)."""
    result = distances[0]
    for other in distances[1:]:
        blend = np.clip(0.5 + 0.5 * (other - result) / smooth, 0, 1) if smooth else (result < other) * 1.0
        result = other * (1 - blend) + result * blend - smooth * blend * (1 - blend)
    return result


@dataclass
class Canvas:
    """The canvas of an image, and one fruit's coordinates on it.

    image: (FINE, FINE, 3) in [0, 1]. u, v: (FINE, FINE) coordinates in radii. radius: in image widths.
    """

    image: Array
    u: Array
    v: Array
    radius: float

    def paint(self, distance: Array, colour: Array | float) -> None:
        """Lay a colour, (3,) or (FINE, FINE, 3), over the inside of a signed distance (in radii)."""
        cover = np.clip(0.5 - distance * self.radius * FINE / 1.5, 0, 1)[..., None]
        self.image = self.image * (1 - cover) + colour * cover

    def darken(self, amount: Array) -> None:
        """Multiply by 1 - amount, (FINE, FINE)."""
        self.image = self.image * (1 - amount[..., None])


def lit(u: Array, v: Array, colour: Array, ambient: float = 0.55, gloss: float = 0.45) -> Array:
    """A ball of radius 1 under the light: diffuse shade and a highlight."""
    nz = np.sqrt(np.clip(1 - u**2 - v**2, 0, 1))
    light = np.clip(-0.45 * np.clip(u, -1, 1) - 0.55 * np.clip(v, -1, 1) + 0.7 * nz, 0, 1)
    return np.clip(colour * (ambient + 0.55 * light[..., None]) + gloss * light[..., None] ** 24, 0, 1)


# ---------------------------------------------------------------- the fruits


def stalk(c: Canvas, top: float, leaf: bool) -> None:
    """A short stalk at (0, top), with a leaf."""
    c.paint(segment(c.u, c.v, (0, top), (0.12, top - 0.42)) - 0.08, rgb(STEM))
    if leaf:
        p, q = c.u - 0.46, c.v - (top - 0.22)
        c.paint(ellipse(0.87 * p - 0.5 * q, 0.5 * p + 0.87 * q, 0.36, 0.17), rgb(LEAF))


def apple(c: Canvas, colour: Array, rng: np.random.Generator) -> None:
    body = union(ellipse(c.u - 0.33, c.v, 0.7, 0.88), ellipse(c.u + 0.33, c.v, 0.7, 0.88), smooth=0.1)
    c.paint(body, lit(c.u / 1.05, c.v / 1.05, colour))
    c.darken(0.5 * np.clip(1 - np.hypot(c.u / 0.3, (c.v + 0.72) / 0.16), 0, 1))
    stalk(c, -0.68, leaf=True)


def banana(c: Canvas, colour: Array, rng: np.random.Generator) -> None:
    radius, reach = 1.15, 0.92
    u, v = c.u, c.v + 0.85
    distance, angle = np.hypot(u, v), np.arctan2(u, v)
    thickness = 0.36 * np.sqrt(np.clip(1 - (np.abs(angle) / reach) ** 2.2, 0, 1)) + 0.03
    across = np.clip((distance - radius) / 0.36, -1, 1)[..., None]
    shade = colour * (1.05 - 0.3 * np.clip(across, 0, 1)) + 0.16 * np.exp(-(((across + 0.3) / 0.25) ** 2))
    c.paint(np.where(np.abs(angle) < reach, np.abs(distance - radius) - thickness, 9.0), np.clip(shade, 0, 1))
    for side in (-1, 1):
        tip = (side * radius * np.sin(reach), radius * np.cos(reach))
        c.paint(ellipse(u - tip[0], v - tip[1], 0.12, 0.12), 0.8 * rgb(STEM))


def grapes(c: Canvas, colour: Array, rng: np.random.Generator) -> None:
    stalk(c, -0.62, leaf=True)
    for row, berries in enumerate((3, 4, 3, 2, 1)):
        for i in range(berries):
            u = c.u - (i - (berries - 1) / 2) * 0.5 + rng.normal(0, 0.015)
            v = c.v + 0.58 - row * 0.37
            c.paint(ellipse(u, v, 0.32, 0.32), lit(u / 0.34, v / 0.34, tinted(colour, rng, 0.015), 0.45))


def orange(c: Canvas, colour: Array, rng: np.random.Generator) -> None:
    c.paint(ellipse(c.u, c.v, 0.92, 0.92), lit(c.u / 0.97, c.v / 0.97, colour, gloss=0.3))
    c.paint(ellipse(c.u, c.v + 0.7, 0.2, 0.12), 0.8 * rgb(LEAF))


def lemon(c: Canvas, colour: Array, rng: np.random.Generator) -> None:
    tips = [ellipse(c.u - side * 0.9, c.v, 0.26, 0.2) for side in (-1, 1)]
    body = union(ellipse(c.u, c.v, 0.95, 0.66), *tips, smooth=0.12)
    c.paint(body, lit(c.u, c.v / 0.72, colour, 0.62))


def pear(c: Canvas, colour: Array, rng: np.random.Generator) -> None:
    body = union(ellipse(c.u, c.v - 0.36, 0.74, 0.64), ellipse(c.u, c.v + 0.46, 0.38, 0.5), smooth=0.35)
    c.paint(body, lit(c.u / 0.9, c.v * 0.85 - 0.25, colour, 0.6))
    stalk(c, -0.86, leaf=False)


def strawberry(c: Canvas, colour: Array, rng: np.random.Generator) -> None:
    along = np.clip((c.v + 0.75) / 1.7, 0, 1)
    width = 0.88 * np.sqrt(1 - along) * np.sqrt(np.clip(0.25 + 3 * along, 0, 1))
    body = np.where((c.v > -0.75) & (c.v < 0.95), 0.8 * (np.abs(c.u) - width), 9.0)
    c.paint(body, lit(c.u / 1.05, c.v / 1.05, colour, 0.6, gloss=0.2))
    for u, v in ((-0.4, -0.25), (0.05, -0.3), (0.5, -0.25), (-0.2, 0.12), (0.27, 0.12), (0.03, 0.5)):
        c.paint(ellipse(c.u - u, c.v - v, 0.07, 0.1), rgb((250, 225, 120)))
    for turn in (-1.2, -0.6, 0.0, 0.6, 1.2):
        tip = (0.44 * np.sin(turn), -0.78 + 0.2 * np.cos(turn))
        c.paint(segment(c.u, c.v, (0, -0.82), tip) - 0.11, rgb(LEAF))


def watermelon(c: Canvas, colour: Array, rng: np.random.Generator) -> None:
    v = c.v + 0.45
    for radius, layer in ((1.14, rgb((40, 120, 45))), (1.0, rgb((205, 230, 160))), (0.88, colour)):
        c.paint(np.maximum(np.hypot(c.u, v) - radius, -v), layer)
    for turn, far in ((-0.85, 0.55), (-0.3, 0.38), (0.3, 0.55), (0.9, 0.5)):
        c.paint(ellipse(c.u - far * np.sin(turn), v - far * np.cos(turn), 0.08, 0.11), rgb((35, 20, 20)))


Painter = Callable[[Canvas, Array, np.random.Generator], None]


@dataclass(frozen=True)
class Kind:
    """A kind of fruit: how it is painted, the colours it comes in, how one and two are called ({}: a colour)."""

    paint: Painter
    colours: tuple[str, ...]
    one: str
    many: str


KINDS: dict[str, Kind] = {
    "apple": Kind(apple, ("red", "green", "yellow"), "{} apple", "{} apples"),
    "banana": Kind(banana, ("yellow", "green"), "{} banana", "{} bananas"),
    "grape": Kind(grapes, ("purple", "green", "red"), "bunch of {} grapes", "bunches of {} grapes"),
    "lemon": Kind(lemon, ("yellow",), "{} lemon", "{} lemons"),
    "orange": Kind(orange, ("orange",), "orange", "oranges"),
    "pear": Kind(pear, ("green", "yellow"), "{} pear", "{} pears"),
    "strawberry": Kind(strawberry, ("red",), "{} strawberry", "{} strawberries"),
    "watermelon": Kind(watermelon, ("red",), "slice of {} watermelon", "slices of {} watermelon"),
}

CONCEPTS: list[tuple[str, str, int]] = [
    (kind, colour, count) for kind, entry in KINDS.items() for colour in entry.colours for count in (1, 2)
]
"""Every (kind, colour, count) that the renderer paints: what users like and judges tell apart."""


# ---------------------------------------------------------------- pictures


@dataclass(frozen=True)
class Attributes:
    """The true attributes of an image. size: "small" or "large", None for a pair."""

    kind: str
    colour: str
    count: int
    background: str
    size: str | None

    @property
    def concept(self) -> int:
        """Index into `CONCEPTS`."""
        return CONCEPTS.index((self.kind, self.colour, self.count))


def tinted(colour: Array, rng: np.random.Generator, spread: float) -> Array:
    """A colour moved a little at random."""
    return np.clip(colour + rng.normal(0, spread, 3), 0, 1)


def draw_attributes(rng: np.random.Generator, kind: str | None = None) -> Attributes:
    """Attributes of a random image: kinds and their colours uniform, three of ten a pair."""
    kind = kind or list(KINDS)[rng.integers(len(KINDS))]
    colours = KINDS[kind].colours
    colour, pair = colours[rng.integers(len(colours))], rng.random() < 0.3
    background = list(BACKGROUNDS)[rng.integers(len(BACKGROUNDS))]
    size = ("small", "large")[rng.integers(2)]
    return Attributes(kind, colour, 2 if pair else 1, background, None if pair else size)


def places(what: Attributes, rng: np.random.Generator) -> Iterable[tuple[float, float, float]]:
    """(x, y, radius) of each fruit, in image widths."""
    if what.count == 2:
        radius, tilt = rng.uniform(0.21, 0.24), rng.uniform(-0.14, 0.14)
        for x, y in ((0.27, 0.52 + tilt), (0.73, 0.52 - tilt)):
            yield x + rng.normal(0, 0.012), y, radius
        return
    radius = rng.uniform(0.35, 0.41) if what.size == "large" else rng.uniform(0.25, 0.31)
    room = max(0.02, 0.44 - radius)
    yield 0.5 + rng.uniform(-room, room), 0.53 + rng.uniform(-room, room), radius


def render(what: Attributes, rng: np.random.Generator) -> Array:
    """One picture.

    Returns: (SIZE, SIZE, 3) uint8.
    """
    y, x = (np.mgrid[:FINE, :FINE] + 0.5) / FINE
    ground = tinted(rgb(BACKGROUNDS[what.background]), rng, 0.03)
    image = ground * (1.04 - 0.16 * y)[..., None]
    colour = tinted(rgb(COLOURS[what.colour]), rng, 0.035)
    for cx, cy, radius in places(what, rng):
        u, v = (x - cx) / radius, (y - cy) / radius
        turn = rng.normal(0, 0.17)
        cos, sin = np.cos(turn), np.sin(turn)
        canvas = Canvas(image, u * cos + v * sin, v * cos - u * sin, radius)
        canvas.darken(0.45 * np.clip(1 - np.hypot(u / 1.05, (v - 0.88) / 0.3), 0, 1))  # the shadow below
        KINDS[what.kind].paint(canvas, tinted(colour, rng, 0.02), rng)
        image = canvas.image
    image = image.reshape(SIZE, SUPERSAMPLING, SIZE, SUPERSAMPLING, 3).mean((1, 3))
    return (np.clip(image, 0, 1) * 255).round().astype(np.uint8)


def pictures(n: int, rng: np.random.Generator) -> tuple[Array, list[Attributes]]:
    """n images, the kinds in turn.

    Returns: (n, SIZE, SIZE, 3) uint8 and their attributes.
    """
    kinds = list(KINDS)
    attributes = [draw_attributes(rng, kinds[i % len(kinds)]) for i in range(n)]
    return np.stack([render(what, rng) for what in attributes]), attributes
