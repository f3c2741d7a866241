"""Painting boxes over: which pixels, in what colour, and no more than the limit."""

import numpy as np
import pytest
from numpy.typing import NDArray

from datascaler.score.tmars.boxes import TextBox, as_numbers, covered_pixels, from_numbers
from datascaler.score.tmars.mask import mask_text


def box(left: float, top: float, right: float, bottom: float, confidence: float = 0.9) -> TextBox:
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    return TextBox(np.array(corners, np.float32), confidence)


def picture(height: int = 60, width: int = 80) -> NDArray[np.uint8]:
    """Left half red, right half blue."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2, 0] = 200
    pixels[:, width // 2 :, 2] = 100
    return pixels


def test_a_box_covers_the_pixels_inside_it() -> None:
    covered = covered_pixels([box(10, 20, 30, 40)], 60, 80)
    expected = np.zeros((60, 80), bool)
    expected[20:40, 10:30] = True
    assert covered[expected].all()
    # The outline's own pixels may be touched, and no others.
    assert not covered[:19].any()
    assert not covered[41:].any()
    assert covered.sum() <= 21 * 21


def test_a_turned_box_is_a_turned_box() -> None:
    diamond = TextBox(np.array([(40, 10), (60, 30), (40, 50), (20, 30)], np.float32), 1.0)
    covered = covered_pixels([diamond], 60, 80)
    assert covered[30, 40]
    assert not covered[12, 22]
    assert covered.sum() == pytest.approx(800, rel=0.1)


def test_boxes_survive_being_stored() -> None:
    boxes = [box(1.5, 2, 30, 40), box(0, 0, 80, 60, 0.5)]
    again = from_numbers(as_numbers(boxes))
    for one, other in zip(boxes, again, strict=True):
        assert np.array_equal(one.corners, other.corners)
        assert other.confidence == pytest.approx(one.confidence)
    assert from_numbers([]) == []


def test_the_fill_is_the_mean_colour_around() -> None:
    pixels = picture()
    pixels[25:35, 10:30] = 255
    masked = mask_text(pixels, [box(10, 25, 30, 35), box(50, 25, 70, 35)], max_area=1.0)
    assert (masked.pixels == picture()).all()
    assert masked.area == pytest.approx(2 * 200 / 4800, rel=0.2)
    assert (pixels[25:35, 10:30] == 255).all()


def test_the_ring_has_no_pixel_of_another_box() -> None:
    pixels = picture()
    pixels[20:30, 5:35] = 255
    pixels[30:40, 5:35] = 255
    masked = mask_text(pixels, [box(5, 20, 35, 30), box(5, 30, 35, 40)], max_area=1.0)
    assert (masked.pixels == picture()).all()


def test_text_to_every_edge_takes_the_colour_of_all() -> None:
    masked = mask_text(picture(), [box(0, 0, 80, 60)], max_area=1.0)
    assert masked.area == 1
    assert (masked.pixels == (100, 0, 50)).all()


def test_masks_stop_at_the_limit_with_the_most_confident_first() -> None:
    boxes = [box(0, 0, 80, 30, 0.6), box(0, 30, 40, 60, 0.9), box(50, 40, 60, 50, 0.5)]
    masked = mask_text(picture(), boxes, max_area=0.4)
    assert [each.confidence for each in masked.masked] == [0.9, 0.5]
    assert masked.left == 1
    assert 0.25 < masked.area <= 0.4


def test_without_boxes_the_picture_is_itself() -> None:
    pixels = picture()
    masked = mask_text(pixels, [], max_area=0.8)
    assert masked.pixels is pixels
    assert (masked.area, masked.left) == (0, 0)


@pytest.mark.parametrize("corner", [(0, 0, 4, 3), (77, 57, 80, 60), (0, 0, 0.4, 0.4)])
def test_boxes_at_the_edges(corner: tuple[float, float, float, float]) -> None:
    masked = mask_text(picture(), [box(*corner)], max_area=1.0)
    assert masked.pixels.shape == (60, 80, 3)
