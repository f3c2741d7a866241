"""Painting text over with the colour around it, so that a picture can be scored without what is written in it."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from datascaler.score.tmars.boxes import TextBox, covered_pixels, fill_box

_RING = 0.25
"""Thickness of the ring whose mean colour fills a box, in heights of the box."""
_MIN_RING = 2
"""Pixels."""


@dataclass(frozen=True, slots=True)
class MaskedPicture:
    pixels: NDArray[np.uint8]
    """RGB, [height, width, 3]; the input itself where nothing was masked."""
    masked: Sequence[TextBox]
    left: int
    """Boxes that stay visible, since the masks would have grown above the limit."""
    area: float
    """Masked part of the picture, 0 to 1."""


def mask_text(pixels: NDArray[np.uint8], boxes: Sequence[TextBox], max_area: float) -> MaskedPicture:
    """Fill each box with the mean colour of a ring around it, of which no pixel is in another box.

    The most confident boxes come first, and any with which the masks would cover more than `max_area` of the picture
    (0 to 1) is left as it is.
    """
    masked, covered = _choose(boxes, pixels.shape[0], pixels.shape[1], max_area)
    if not masked:
        return MaskedPicture(pixels, [], len(boxes), 0.0)
    filled = pixels.copy()
    for box in masked:
        _fill(filled, pixels, box, covered)
    return MaskedPicture(filled, masked, len(boxes) - len(masked), float(covered.mean()))


def _choose(
    boxes: Sequence[TextBox], height: int, width: int, max_area: float
) -> tuple[list[TextBox], NDArray[np.bool_]]:
    """The boxes that fit under the limit, and the pixels that they cover."""
    covered = covered_pixels(boxes, height, width)
    if covered.mean() <= max_area:
        return list(boxes), covered
    chosen: list[TextBox] = []
    covered = np.zeros((height, width), np.bool_)
    for box in sorted(boxes, key=lambda box: -box.confidence):
        together = covered | covered_pixels([box], height, width)
        if together.mean() <= max_area:
            chosen.append(box)
            covered = together
    return chosen, covered


def _fill(filled: NDArray[np.uint8], pixels: NDArray[np.uint8], box: TextBox, covered: NDArray[np.bool_]) -> None:
    height, width = covered.shape
    corners = box.corners
    sides = [float(np.hypot(*(corners[i] - corners[i - 1]))) for i in (1, 2)]
    thickness = max(_MIN_RING, round(_RING * min(sides)))
    left, top = np.clip(np.floor(corners.min(axis=0)).astype(int) - thickness - 1, 0, (width, height))
    right, bottom = np.clip(np.ceil(corners.max(axis=0)).astype(int) + thickness + 1, 0, (width, height))
    window = slice(top, bottom), slice(left, right)
    inside = np.zeros((bottom - top, right - left), np.uint8)
    fill_box(inside, box, left, top)
    kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (2 * thickness + 1, 2 * thickness + 1))
    ring = cv2.dilate(inside, kernel).view(np.bool_) & ~covered[window]
    around = pixels[window][ring]
    if not len(around):
        # Text to every edge of the picture, or between other text: what is left of the picture will do.
        around = pixels[~covered]
    if not len(around):
        around = pixels.reshape(-1, 3)
    filled[window][inside.view(np.bool_)] = np.round(around.mean(axis=0)).astype(np.uint8)
