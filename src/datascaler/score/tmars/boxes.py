"""Where the text in a picture is: quadrilaterals in the picture's own pixels."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

_SUBPIXEL_BITS = 4
"""Bits of a pixel to which the corners are rounded when a box is drawn."""
NUMBERS_A_BOX = 9
"""The length of a stored box: x and y of four corners, and the confidence."""


@dataclass(frozen=True, slots=True)
class TextBox:
    corners: NDArray[np.float32]
    """[4, 2]: x and y of the corners, in turn. The picture's first pixel is 0 to 1, so its far corner is its size."""
    confidence: float
    """0 to 1."""


def covered_pixels(boxes: Iterable[TextBox], height: int, width: int) -> NDArray[np.bool_]:
    """bool [height, width]: the pixels that any of the boxes touches."""
    covered = np.zeros((height, width), np.uint8)
    for box in boxes:
        fill_box(covered, box)
    return covered.view(np.bool_)


def fill_box(canvas: NDArray[np.uint8], box: TextBox, left: int = 0, top: int = 0) -> None:
    """Set to 1 what the box covers of a canvas whose first pixel is that at (left, top) of the picture."""
    # Pixel centres are whole numbers for OpenCV.
    corners = (box.corners - (left + 0.5, top + 0.5)) * (1 << _SUBPIXEL_BITS)
    cv2.fillConvexPoly(canvas, np.round(corners).astype(np.int32), 1, shift=_SUBPIXEL_BITS)


def as_numbers(boxes: Sequence[TextBox]) -> list[list[float]]:
    """A row of the `boxes` column."""
    return [[*box.corners.ravel().tolist(), box.confidence] for box in boxes]


def from_numbers(rows: Sequence[Sequence[float]]) -> list[TextBox]:
    """Boxes of a row of the `boxes` column. ValueError where it is none."""
    numbers = np.asarray(rows, np.float32).reshape(-1, NUMBERS_A_BOX)
    return [TextBox(row[:-1].reshape(4, 2), float(row[-1])) for row in numbers]
