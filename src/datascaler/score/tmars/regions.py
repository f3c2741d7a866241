"""A detection network's map of text -> boxes around lines of text."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from datascaler.score.tmars.boxes import TextBox

_MIN_THICKNESS = 3
"""Pixels of the map. Thinner regions are edges and noise."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BoxRule:
    """How boxes are made of a map. All of it changes boxes, so all of it is in `as_text`."""

    pixel_threshold: float = 0.2
    """A pixel is text above this."""
    min_confidence: float = 0.45
    """The least mean of the map over a region."""
    growth: float = 2.0
    """The map marks only the core of a line (arXiv 1911.08947): the box is moved outwards by this x area / outline."""
    max_thickness: float = 0.45
    """A share of the image's shorter side. A thicker region is a thing, such as a cup, and no line of text..."""
    line_ratio: float = 2.0
    """...unless it is so many times as long."""

    def as_text(self) -> str:
        return (
            f"p{self.pixel_threshold:g}-c{self.min_confidence:g}-g{self.growth:g}"
            f"-t{self.max_thickness:g}-l{self.line_ratio:g}"
        )


def boxes_of_map(text: NDArray[np.float32], width: int, height: int, rule: BoxRule) -> list[TextBox]:
    """Boxes in the pixels of a picture of `width` x `height`, clipped to it, in no particular order.

    `text` is [map height, map width], 0 to 1, and shows the whole picture.
    """
    scale = np.array((width / text.shape[1], height / text.shape[0]), np.float32)
    contours, _ = cv2.findContours(
        (text > rule.pixel_threshold).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
    )
    boxes = []
    for contour in contours:
        centre, sides, angle = cv2.minAreaRect(contour)
        # Of the pixels themselves: OpenCV measures from the centre of the first to the centre of the last.
        long, short = max(sides) + 1, min(sides) + 1
        if short < _MIN_THICKNESS:
            continue
        confidence = _mean_inside(text, contour)
        if confidence < rule.min_confidence:
            continue
        margin = rule.growth * long * short / (2 * (long + short))
        thickness = short + 2 * margin
        if thickness > rule.max_thickness * min(text.shape) and long < rule.line_ratio * short:
            continue
        grown = (centre[0] + 0.5, centre[1] + 0.5), (sides[0] + 1 + 2 * margin, sides[1] + 1 + 2 * margin), angle
        corners = np.clip(cv2.boxPoints(grown) * scale, 0, (width, height)).astype(np.float32)
        boxes.append(TextBox(corners, confidence))
    return boxes


def _mean_inside(text: NDArray[np.float32], contour: cv2.typing.MatLike) -> float:
    left, top, width, height = cv2.boundingRect(contour)
    inside = np.zeros((height, width), np.uint8)
    cv2.drawContours(inside, [contour], -1, 1, cv2.FILLED, offset=(-left, -top))
    return float(cv2.mean(text[top : top + height, left : left + width], inside)[0])
