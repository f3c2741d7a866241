"""The demo's pictures with captions: a pool of which a known part is wrong in known ways, a clean set, an eval set.

Every sample has its own generator, seeded by (seed, set, index), so no two sets share a picture.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import TypedDict

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from datascaler.demo.captions import caption_of, junk_caption
from datascaler.demo.draw import CLASS_NAMES, draw_image, random_attributes


class _Style(TypedDict):
    spacing: int
    align: str
    stroke_width: int


_ZOOM = 4
_STYLE: _Style = {"spacing": 0, "align": "center", "stroke_width": 2}
_INK = ((20, 20, 24), (250, 250, 246))


class PairKind(StrEnum):
    CLEAN = "clean"
    MISMATCHED = "mismatched caption"
    JUNK = "junk caption"
    RENDERED = "caption drawn into the picture"
    BROKEN = "broken file"


SHARES = {
    PairKind.CLEAN: 40,
    PairKind.MISMATCHED: 26,
    PairKind.JUNK: 12,
    PairKind.RENDERED: 18,
    PairKind.BROKEN: 4,
}
"""Percent of the pool."""

_POOL, _CLEAN, _EVAL, _ORDER = range(4)
"""Which set a generator serves."""


@dataclass(frozen=True, slots=True)
class DrawnPair:
    image_bytes: bytes
    """A JPEG, unless the kind is BROKEN."""
    caption: str
    kind: PairKind
    label: int
    """The class that the picture shows (of a broken file: showed), whatever the caption says."""


def draw_pool(n: int, seed: int) -> Iterator[DrawnPair]:
    """`n` pairs in a random order, each kind with exactly its share (rounded by largest remainder)."""
    for index, kind in enumerate(_kinds(n, seed)):
        yield _draw_pair(kind, np.random.default_rng((seed, _POOL, index)))


def draw_clean(n: int, seed: int) -> Iterator[DrawnPair]:
    for index in range(n):
        yield _draw_pair(PairKind.CLEAN, np.random.default_rng((seed, _CLEAN, index)))


def draw_evalset(per_class: int, seed: int) -> Iterator[tuple[bytes, int]]:
    """(JPEG, label), `per_class` pictures of each class; neighbours are of different classes."""
    for index in range(per_class * len(CLASS_NAMES)):
        rng = np.random.default_rng((seed, _EVAL, index))
        label = index % len(CLASS_NAMES)
        yield _jpeg(draw_image(random_attributes(label, rng), rng)), label


def kind_counts(n: int) -> dict[PairKind, int]:
    """How many of `n` pairs are of each kind."""
    counts = {kind: n * share // 100 for kind, share in SHARES.items()}
    by_remainder = sorted(SHARES, key=lambda kind: -(n * SHARES[kind] % 100))
    for kind in by_remainder[: n - sum(counts.values())]:
        counts[kind] += 1
    return counts


def _kinds(n: int, seed: int) -> list[PairKind]:
    kinds = [kind for kind, count in kind_counts(n).items() for _ in range(count)]
    order = np.random.default_rng((seed, _ORDER)).permutation(n)
    return [kinds[i] for i in order]


def _draw_pair(kind: PairKind, rng: np.random.Generator) -> DrawnPair:
    label = int(rng.integers(len(CLASS_NAMES)))
    attributes = random_attributes(label, rng)
    picture = draw_image(attributes, rng)
    # Another class than the picture's, for the kinds whose caption is about something else.
    other = (label + int(rng.integers(1, len(CLASS_NAMES)))) % len(CLASS_NAMES)
    match kind:
        case PairKind.CLEAN:
            return DrawnPair(_jpeg(picture), caption_of(attributes, rng), kind, label)
        case PairKind.MISMATCHED:
            return DrawnPair(_jpeg(picture), caption_of(random_attributes(other, rng), rng), kind, label)
        case PairKind.JUNK:
            return DrawnPair(_jpeg(picture), junk_caption(rng), kind, label)
        case PairKind.RENDERED:
            caption = caption_of(random_attributes(other, rng), rng)
            return DrawnPair(_jpeg(letter(picture, caption, rng)), caption, kind, label)
        case PairKind.BROKEN:
            return DrawnPair(_break(_jpeg(picture), rng), caption_of(attributes, rng), kind, label)


def _jpeg(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def _break(image_bytes: bytes, rng: np.random.Generator) -> bytes:
    """Cut off in the middle, a web page in the picture's place, or nothing at all."""
    match int(rng.integers(3)):
        case 0:
            return image_bytes[: int(len(image_bytes) * rng.uniform(0.3, 0.8))]
        case 1:
            return b"<!doctype html><title>404 Not Found</title><h1>Not Found</h1>\n"
        case _:
            return b""


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
