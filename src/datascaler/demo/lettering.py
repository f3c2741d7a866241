"""A caption written into a picture: the kind of pair that looks right to a network that has learnt to read."""

from functools import cache
from typing import TypedDict

import numpy as np
from PIL import Image, ImageDraw, ImageFont


class _Style(TypedDict):
    spacing: int
    align: str
    stroke_width: int


_ZOOM = 4
_STYLE: _Style = {"spacing": 0, "align": "center", "stroke_width": 2}
_INK = ((20, 20, 24), (250, 250, 246))


def letter(picture: Image.Image, text: str, rng: np.random.Generator) -> Image.Image:
    """The picture with `text` over it, wrapped and as large as fits."""
    big = picture.resize((picture.width * _ZOOM, picture.height * _ZOOM), Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(big)
    room = big.width - 2 * _ZOOM
    for size in range(40, 11, -4):
        font = _font(size)
        block = _wrapped(pen, text, font, room)
        left, top, right, bottom = pen.multiline_textbbox((0, 0), block, font=font, **_STYLE)
        if right - left <= room and bottom - top <= room:
            break
    ink, edge = _INK if rng.random() < 0.5 else _INK[::-1]
    x = (big.width - (right - left)) / 2 - left
    y = rng.uniform(_ZOOM, max(big.height - _ZOOM - (bottom - top), _ZOOM)) - top
    pen.multiline_text((x, y), block, fill=ink, stroke_fill=edge, font=font, **_STYLE)
    return big.reduce(_ZOOM)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _wrapped(
    pen: ImageDraw.ImageDraw, text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, room: float
) -> str:
    lines: list[str] = []
    for word in text.split():
        if lines and pen.textlength(f"{lines[-1]} {word}", font=font) <= room:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return "\n".join(lines)
