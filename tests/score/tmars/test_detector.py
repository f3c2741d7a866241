"""The default detector on real letters: boxes in the picture's own pixels, and the same ones anywhere."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from datascaler.errors import ConfigError
from datascaler.score.tmars.boxes import TextBox, covered_pixels
from datascaler.score.tmars.detector import MAX_SIDE, OnnxTextDetector, load_text_detector
from datascaler.score.tmars.regions import BoxRule, boxes_of_map


@pytest.fixture(scope="module")
def detector() -> OnnxTextDetector:
    return load_text_detector()


def written(width: int, height: int, at: tuple[int, int], size: int = 28) -> NDArray[np.uint8]:
    picture = Image.new("RGB", (width, height), (240, 235, 220))
    ImageDraw.Draw(picture).text(at, "Grand Hotel", fill=(30, 30, 60), font=ImageFont.load_default(size))
    return np.array(picture)


def inked(pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return np.asarray(pixels.mean(axis=2) < 120)


@pytest.mark.parametrize(("width", "height", "at"), [(321, 203, (40, 60)), (512, 100, (330, 50)), (200, 500, (4, 455))])
def test_boxes_are_in_the_pixels_of_the_picture(
    detector: OnnxTextDetector, width: int, height: int, at: tuple[int, int]
) -> None:
    pixels = written(width, height, at)
    covered = covered_pixels(detector.detect(pixels), height, width)
    assert covered[inked(pixels)].mean() > 0.97
    assert covered.mean() < 0.2


def test_a_large_picture_is_shrunk_and_its_boxes_are_not(detector: OnnxTextDetector) -> None:
    pixels = written(2 * MAX_SIDE, MAX_SIDE // 2, (1500, 300), size=90)
    covered = covered_pixels(detector.detect(pixels), *pixels.shape[:2])
    assert covered[inked(pixels)].mean() > 0.97
    assert covered.mean() < 0.15


@pytest.mark.parametrize("shape", [(1, 1, 3), (3, 500, 3), (33, 31, 3), (700, 1, 3), (2, 2000, 3)])
def test_pictures_of_any_shape(detector: OnnxTextDetector, shape: tuple[int, int, int]) -> None:
    assert detector.detect(np.full(shape, 127, np.uint8)) == []


def test_a_detector_goes_to_other_processes_and_threads(detector: OnnxTextDetector) -> None:
    pixels = written(320, 200, (40, 60))
    (expected,) = detector.detect(pixels)
    again = pickle.loads(pickle.dumps(detector))
    assert again.detector_id == detector.detector_id
    with ThreadPoolExecutor(4) as executor:
        for (box,) in executor.map(again.detect, [pixels] * 8):
            assert np.array_equal(box.corners, expected.corners)


def test_a_file_of_ones_own(detector: OnnxTextDetector, tmp_path: Path) -> None:
    own = tmp_path / "mine.onnx"
    own.write_bytes(Path(detector.url).read_bytes())
    mine = load_text_detector(str(own))
    name, digest, *rest = mine.detector_id.split("-")
    assert (name, digest) == ("mine", "090f04ab")
    assert detector.detector_id.endswith("-".join([digest, *rest]))
    assert len(mine.detect(written(320, 200, (40, 60)))) == 1


def test_a_file_that_is_no_network_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"not a network")
    with pytest.raises(ConfigError, match=r"bad\.onnx is not a network"):
        load_text_detector(f"{tmp_path}/bad.onnx").detect(np.zeros((32, 32, 3), np.uint8))


def boxes_of(*marks: tuple[int, int, int, int]) -> list[TextBox]:
    """Of a map of 100 x 200 that is certain of the marks: left, top, right, bottom."""
    text = np.zeros((100, 200), np.float32)
    for left, top, right, bottom in marks:
        text[top:bottom, left:right] = 0.9
    return boxes_of_map(text, 400, 200, BoxRule())


def test_a_line_is_grown_by_what_the_map_left_out() -> None:
    (box,) = boxes_of((50, 40, 110, 50))
    # 2 x 60 x 10 / (2 x 70) of the map is 8.6, and the picture has two pixels for each of the map's.
    assert box.corners.min(axis=0) == pytest.approx((100 - 17.1, 80 - 17.1), abs=0.1)
    assert box.corners.max(axis=0) == pytest.approx((220 + 17.1, 100 + 17.1), abs=0.1)
    assert box.confidence == pytest.approx(0.9)


def test_boxes_end_with_the_picture() -> None:
    (box,) = boxes_of((0, 0, 60, 10))
    assert box.corners.min() == 0


def test_what_is_as_thick_as_the_picture_is_no_text() -> None:
    assert boxes_of((40, 20, 100, 70)) == []
    assert len(boxes_of((10, 30, 190, 70))) == 1
    assert boxes_of((10, 10, 80, 12)) == []
