"""Pictures with words planted in them, and exactly which pixels the words are."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
import skimage
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from tests.natural import natural_picture

_FONT_FILES = (
    "DejaVuSans",
    "DejaVuSans-Bold",
    "DejaVuSans-Oblique",
    "DejaVuSerif",
    "DejaVuSerif-BoldItalic",
    "DejaVuSansMono",
    "STIXGeneral",
    "STIXGeneralBol",
    "STIXGeneralItalic",
    "cmr10",
    "cmss10",
    "cmtt10",
)
PHOTOGRAPHS = (
    *("astronaut.png", "brick.png", "camera.png", "cell.png", "chelsea.png", "clock_motion.png", "coffee.png"),
    *("coins.png", "grass.png", "gravel.png", "hubble_deep_field.jpg", "ihc.png", "microaneurysms.png", "moon.png"),
    *("motorcycle_left.png", "motorcycle_right.png", "retina.jpg", "rocket.jpg"),
)
"""All photographs in scikit-image's wheel but that of a printed page."""
_MAX_SIDE = 512
"""Of a picture in a DataComp pool."""
_WORDS = (
    *("summer", "sale", "fresh", "coffee", "open", "daily", "best", "price", "winter", "garden", "music"),
    *("festival", "free", "delivery", "new", "arrivals", "grand", "hotel", "happy", "birthday", "limited"),
    *("edition", "road", "closed", "organic", "honey", "travel", "photo", "classic", "model", "special"),
    *("offer", "made", "with", "love", "2024", "50%", "OFF", "$19.99", "www.example.com", "CALL", "NOW"),
    *("555-0142", "Vol.", "7"),
)
_SIZES = (12, 14, 16, 20, 24, 32, 48, 64)
"""Pixels of the em: capitals are about 0.7 of it."""
_COLOURS, _MIN_CONTRAST = 64, 60
"""The ink is the first of so many random colours whose brightness differs by this much, of 255, from nine tenths of
what is around the letters; if none does, the one that differs most."""


@dataclass(frozen=True, slots=True)
class PlantedText:
    pixels: NDArray[np.uint8]
    """RGB, [height, width, 3]"""
    glyphs: NDArray[np.bool_]
    """[height, width]: where ink covers at least half of the pixel."""
    size: int
    """Pixels of the em."""
    angle: float
    """Degrees, counterclockwise."""
    font: str
    photograph: bool
    """Whether the words are planted on a photograph."""


def planted_texts(count: int, seed: int = 0) -> Iterator[PlantedText]:
    """Sizes in turn; every second picture is a photograph, the others are drawn."""
    for number in range(count):
        rng = np.random.default_rng((seed, number))
        size, photograph = _SIZES[number % len(_SIZES)], number // len(_SIZES) % 2 == 0
        yield _plant(rng, _photographic(rng) if photograph else _drawn(rng), size, photograph=photograph)


@cache
def photograph(name: str) -> Image.Image:
    """RGB, no side above 512 pixels."""
    picture = Image.open(Path(skimage.__file__).parent / "data" / name).convert("RGB")
    picture.thumbnail((_MAX_SIDE, _MAX_SIDE), Image.Resampling.LANCZOS)
    return picture


def _photographic(rng: np.random.Generator) -> Image.Image:
    return photograph(PHOTOGRAPHS[rng.integers(len(PHOTOGRAPHS))]).copy()


def _drawn(rng: np.random.Generator) -> Image.Image:
    width, height = (int(side) for side in rng.integers(224, _MAX_SIDE + 1, 2))
    match int(rng.integers(4)):
        case 0:
            return Image.new("RGB", (width, height), _colour(rng))
        case 1:
            ends = np.array([_colour(rng), _colour(rng)])
            share = np.linspace(0, 1, width)[:, None]
            row = ends[0] * (1 - share) + ends[1] * share
            return Image.fromarray(np.broadcast_to(row, (height, width, 3)).astype(np.uint8))
        case 2:
            picture = Image.new("RGB", (width, height), _colour(rng))
            pen = ImageDraw.Draw(picture)
            for _ in range(12):
                x, y, side = rng.integers((0, 0, 20), (width, height, 140)).tolist()
                draw = pen.ellipse if rng.random() < 0.5 else pen.rectangle
                draw((x, y, x + side, y + side), fill=_colour(rng))
            return picture
        case _:
            return natural_picture(width, height, seed=int(rng.integers(1 << 30)))


def _plant(rng: np.random.Generator, picture: Image.Image, size: int, *, photograph: bool) -> PlantedText:
    name, angle = _FONT_FILES[rng.integers(len(_FONT_FILES))], float(rng.uniform(-30, 30))
    layer = _words(rng, picture.size, _font(name, size), angle)
    glyphs = np.asarray(layer) >= 128
    assert glyphs.any()
    behind = np.asarray(picture.convert("L"), np.float32)[_around(glyphs)]
    colours = [_colour(rng) for _ in range(_COLOURS)]
    contrasts = [float(np.quantile(np.abs(behind - _brightness(colour)), 0.1)) for colour in colours]
    legible = [colour for colour, contrast in zip(colours, contrasts, strict=True) if contrast >= _MIN_CONTRAST]
    colour = legible[0] if legible else colours[int(np.argmax(contrasts))]
    picture.paste(colour, mask=layer)
    return PlantedText(np.array(picture), glyphs, size, angle, name, photograph)


def _words(rng: np.random.Generator, room: tuple[int, int], font: ImageFont.FreeTypeFont, angle: float) -> Image.Image:
    """Ink, 0 to 255: one to four words a line and one to three lines, as many as fit, turned, somewhere inside."""
    lines, words = int(rng.integers(1, 4)), int(rng.integers(1, 5))
    while True:
        text = "\n".join(" ".join(rng.choice(_WORDS, words)) for _ in range(lines))
        box = ImageDraw.Draw(Image.new("L", (1, 1))).multiline_textbbox((0, 0), text, font=font)
        flat = Image.new("L", (int(box[2] - box[0]) + 2, int(box[3] - box[1]) + 2))
        ImageDraw.Draw(flat).multiline_text((1 - box[0], 1 - box[1]), text, fill=255, font=font)
        turned = flat.rotate(angle, Image.Resampling.BICUBIC, expand=True)
        if turned.width < room[0] - 4 and turned.height < room[1] - 4:
            break
        lines, words = max(1, lines - 1), max(1, words - (lines == 1))
    layer = Image.new("L", room)
    place = [int(rng.integers(2, room[side] - turned.size[side] - 1)) for side in (0, 1)]
    layer.paste(turned, (place[0], place[1]))
    return layer


def _around(glyphs: NDArray[np.bool_]) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(glyphs.any(axis=1)), np.flatnonzero(glyphs.any(axis=0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _colour(rng: np.random.Generator) -> tuple[int, int, int]:
    red, green, blue = rng.integers(0, 256, 3).tolist()
    return red, green, blue


def _brightness(colour: tuple[int, int, int]) -> float:
    """As Pillow's conversion to grey has it."""
    red, green, blue = colour
    return 0.299 * red + 0.587 * green + 0.114 * blue


@cache
def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf"), size)
