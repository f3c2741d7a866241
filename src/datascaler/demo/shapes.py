"""The outlines that the demo draws: polygons in the unit square around the origin, and holes in them."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Points = NDArray[np.float64]
"""[n, 2], x to the right and y down, within the unit circle."""

Outline = tuple[Points, ...]
"""The outer polygon, then the holes in it."""


def _ring_of(n: int, radius: float = 1.0, turn: float = 0.0, centre: tuple[float, float] = (0.0, 0.0)) -> Points:
    angles = turn + 2 * np.pi * np.arange(n) / n
    return np.stack([centre[0] + radius * np.sin(angles), centre[1] - radius * np.cos(angles)], axis=1)


def _circle() -> Outline:
    return (_ring_of(48, radius=0.88),)


def _square() -> Outline:
    return (_ring_of(4, turn=np.pi / 4),)


def _triangle() -> Outline:
    return (_ring_of(3) + np.array([0.0, 0.12]),)


def _star() -> Outline:
    points = np.empty((10, 2))
    points[0::2] = _ring_of(5)
    points[1::2] = _ring_of(5, radius=0.42, turn=np.pi / 5)
    return (points,)


def _cross() -> Outline:
    a, b = 0.3, 0.95
    corners = [
        (-a, -b),
        (a, -b),
        (a, -a),
        (b, -a),
        (b, a),
        (a, a),
        (a, b),
        (-a, b),
        (-a, a),
        (-b, a),
        (-b, -a),
        (-a, -a),
    ]
    return (np.array(corners),)


def _ring() -> Outline:
    return _ring_of(48, radius=0.95), _ring_of(48, radius=0.55)


def _heart() -> Outline:
    t = 2 * np.pi * np.arange(48) / 48
    x = 16 * np.sin(t) ** 3
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return (np.stack([x, -y - 2.5], axis=1) / 16.5,)


def _moon() -> Outline:
    outer, inner, shift = 0.95, 0.82, 0.5
    # Where the two circles cross; the crescent is the outer arc to the left of that and the inner arc back.
    x = (outer**2 - inner**2 + shift**2) / (2 * shift)
    horn = np.arctan2(np.sqrt(outer**2 - x**2), x)
    inner_horn = np.arctan2(np.sqrt(outer**2 - x**2), x - shift)
    there = np.linspace(horn, 2 * np.pi - horn, 40)
    back = np.linspace(2 * np.pi - inner_horn, inner_horn, 40)[1:-1]
    points = [(outer * np.cos(a), outer * np.sin(a)) for a in there]
    points += [(inner * np.cos(a) + shift, inner * np.sin(a)) for a in back]
    return (np.array(points),)


_OUTLINES: dict[str, Callable[[], Outline]] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "cross": _cross,
    "ring": _ring,
    "heart": _heart,
    "moon": _moon,
}

SHAPES = tuple(_OUTLINES)


def placed_outline(shape: str, centre: tuple[float, float], radius: float, angle: float) -> Outline:
    """The outline in pixels; the angle is in radians."""
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return tuple(points @ turn * radius + np.array(centre) for points in _OUTLINES[shape]())


def fill_mask(outline: Outline, side: int) -> Image.Image:
    """An `L` image, 255 inside the outline and 0 in its holes."""
    mask = Image.new("L", (side, side))
    pen = ImageDraw.Draw(mask)
    for i, points in enumerate(outline):
        pen.polygon(_pairs(points), fill=0 if i else 255)
    return mask


def stroke(picture: Image.Image, outline: Outline, colour: tuple[int, int, int], width: int) -> None:
    """Draw along the outline and its holes, with round joints."""
    pen = ImageDraw.Draw(picture)
    for points in outline:
        ring = _pairs(points)
        pen.line([*ring, *ring[:2]], fill=colour, width=width, joint="curve")


def _pairs(points: Points) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in points]
