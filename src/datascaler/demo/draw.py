"""One picture of the demo's pool: a coloured shape on a backdrop, drawn at four times its size and shrunk."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from datascaler.demo.shapes import SHAPES, fill_mask, placed_outline, stroke

SIDE = 48
"""Pixels of a picture."""
_ZOOM = 4
_BIG = SIDE * _ZOOM

Colour = tuple[int, int, int]

COLOURS: dict[str, Colour] = {
    "red": (214, 40, 46),
    "orange": (243, 134, 25),
    "yellow": (247, 212, 38),
    "green": (42, 157, 80),
    "blue": (38, 98, 214),
    "purple": (136, 62, 178),
}
# Pale or grey: lighter than the ink, and never as strong a colour as the one that the caption names.
BACKDROPS: dict[str, Colour] = {
    "white": (244, 244, 241),
    "cream": (238, 228, 206),
    "mint": (198, 224, 209),
    "grey": (172, 174, 178),
    "lilac": (216, 208, 228),
    "sky": (190, 211, 230),
}
INK: Colour = (24, 24, 30)
PATTERNS = ("plain", "shaded", "striped", "dotted", "checked")
RADII = {"small": (14.0, 15.5), "": (15.5, 18.0), "large": (18.0, 20.0)}
"""Least and greatest radius in pixels by the word for the size; the middle has no word."""

_TURN = 0.18
"""Greatest turn of a shape to either side, in radians."""
_DRIFT = 2.5
"""Greatest distance of its centre from the picture's along each axis, in pixels."""

CLASSES = tuple((shape, colour) for shape in SHAPES for colour in COLOURS)
CLASS_NAMES = tuple(f"{colour} {shape}" for shape, colour in CLASSES)
"""The name of each label: `red circle`, ..."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Attributes:
    """What a caption can say of a picture."""

    shape: str
    colour: str
    size: str
    backdrop: str
    pattern: str


def random_attributes(label: int, rng: np.random.Generator) -> Attributes:
    shape, colour = CLASSES[label]
    return Attributes(
        shape=shape,
        colour=colour,
        size=_choice(tuple(RADII), rng),
        backdrop=_choice(tuple(BACKDROPS), rng),
        pattern=_choice(PATTERNS, rng),
    )


def draw_image(attributes: Attributes, rng: np.random.Generator) -> Image.Image:
    """A 48 x 48 RGB picture; all that the attributes leave open (place, turn, tint, noise) comes from `rng`."""
    ground = _tint(BACKDROPS[attributes.backdrop], 8, rng)
    picture = _backdrop(ground, attributes.pattern, rng)

    radius = rng.uniform(*RADII[attributes.size]) * _ZOOM
    reach = min(_DRIFT * _ZOOM, _BIG / 2 - radius - 1.5 * _ZOOM)
    x, y = _BIG / 2 + rng.uniform(-reach, reach, size=2)
    outline = placed_outline(attributes.shape, (x, y), radius, rng.uniform(-_TURN, _TURN))
    mask = fill_mask(outline, _BIG)

    shadow_at = (int(radius * rng.uniform(0.05, 0.14)), int(radius * 0.14))
    picture.paste(_scaled(ground, 0.78), shadow_at, mask)
    fill = _tint(COLOURS[attributes.colour], 14, rng)
    picture.paste(_shading(_scaled(fill, 1.08), _scaled(fill, 0.86), rng), (0, 0), mask)
    stroke(picture, outline, INK, width=2 * _ZOOM)
    return _noisy(picture.reduce(_ZOOM), rng.uniform(0.5, 4.0), rng)


def _choice(options: tuple[str, ...], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]


def _tint(colour: Colour, spread: int, rng: np.random.Generator) -> Colour:
    r, g, b = np.clip(np.array(colour) + rng.integers(-spread, spread + 1, size=3), 0, 255)
    return int(r), int(g), int(b)


def _scaled(colour: Colour, factor: float) -> Colour:
    r, g, b = (min(255, round(channel * factor)) for channel in colour)
    return r, g, b


def _shading(start: Colour, end: Colour, rng: np.random.Generator) -> Image.Image:
    """A smooth run of colour across the picture, in one of four directions."""
    picture = Image.new("RGB", (_BIG, _BIG), start)
    picture.paste(end, (0, 0), _ramp(int(rng.integers(4))))
    return picture


@cache
def _ramp(quarter_turns: int) -> Image.Image:
    return Image.linear_gradient("L").resize((_BIG, _BIG)).rotate(90 * quarter_turns)


def _backdrop(ground: Colour, pattern: str, rng: np.random.Generator) -> Image.Image:
    other = _scaled(ground, 0.93)
    if pattern == "shaded":
        return _shading(ground, _scaled(ground, 0.8), rng)
    picture = Image.new("RGB", (_BIG, _BIG), ground)
    pen = ImageDraw.Draw(picture)
    step = int(rng.integers(6, 11)) * _ZOOM
    start = -int(rng.integers(step))
    if pattern == "striped":
        # A slanted stripe leaves the picture at the bottom this many pixels further on.
        slant = _BIG * int(rng.integers(-1, 2))
        for x in range(start - _BIG, 2 * _BIG, step):
            pen.line([(x, 0), (x + slant, _BIG)], fill=other, width=step // 2)
    elif pattern == "dotted":
        radius = step // 4
        for row, y in enumerate(range(start, _BIG + step, step)):
            for x in range(start - (row % 2) * step // 2, _BIG + step, step):
                pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=other)
    elif pattern == "checked":
        for row, y in enumerate(range(start, _BIG, step)):
            for x in range(start - (row % 2) * step, _BIG, 2 * step):
                pen.rectangle([x, y, x + step - 1, y + step - 1], fill=other)
    return picture


def _noisy(picture: Image.Image, strength: float, rng: np.random.Generator) -> Image.Image:
    pixels: NDArray[np.float32] = np.asarray(picture, dtype=np.float32)
    grain = rng.standard_normal(pixels.shape[:2], dtype=np.float32)[:, :, None] * np.float32(strength)
    return Image.fromarray(np.clip(pixels + grain, 0, 255).astype(np.uint8))
