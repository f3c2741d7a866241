"""The two ways from encoded images to crops: one is exact, the other near, and both crop alike."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_image
from torch import Tensor

from datascaler.data.pool.images import decode_rgb
from datascaler.errors import ImageDecodeError
from datascaler.spec.train import Decoder
from datascaler.train.loading.augment import decode_crop, random_crop
from tests.natural import encoded, natural_picture

SIDE = 224
MEAN_BOUND = 0.01
"""Levels of 255, on average over a picture."""
OTHER_PASS_FIRST_BOUND = 0.25
"""The same where Pillow shrinks the height first: it rounds the picture in between, as torch does, but another one."""
WAYS: list[Decoder] = ["bicubic", "fast"]

FAST_CROP = """
import sys
from datascaler.train.loading.augment import decode_crop
crop = decode_crop(sys.stdin.buffer.read(), 224, 0, 1, "fast")
sys.stdout.buffer.write(crop.numpy().tobytes())
"""


def photograph(name: str, size: tuple[int, int]) -> bytes:
    """One of the two that scikit-learn brings, as a JPEG."""
    image = Image.fromarray(load_sample_image(name)).resize(size, Image.Resampling.BICUBIC)
    return encoded(image, "JPEG", quality=95)


@pytest.mark.parametrize("format_", ["JPEG", "PNG"])
@pytest.mark.parametrize("size", [(512, 384), (333, 481), (640, 40), (30, 20), (1, 1), (1, 900)], ids=str)
def test_bicubic_is_exact(size: tuple[int, int], format_: str) -> None:
    raw = encoded(natural_picture(*size), format_)
    for draw in range(3):
        crop = decode_crop(memoryview(raw), SIDE, 5, draw, "bicubic")
        assert torch.equal(crop, random_crop(decode_rgb(raw), SIDE, 5, draw))


@pytest.mark.parametrize("name", ["china.jpg", "flower.jpg"])
@pytest.mark.parametrize(
    ("size", "bound"),
    [
        ((640, 427), MEAN_BOUND),
        ((512, 342), MEAN_BOUND),
        ((384, 512), MEAN_BOUND),
        ((512, 512), MEAN_BOUND),
        ((96, 64), MEAN_BOUND),
        ((240, 320), OTHER_PASS_FIRST_BOUND),
        ((200, 300), OTHER_PASS_FIRST_BOUND),
    ],
    ids=str,
)
def test_fast_is_near_on_photographs(name: str, size: tuple[int, int], bound: float) -> None:
    raw = photograph(name, size)
    for draw in range(4):
        exact, fast = (decode_crop(raw, SIDE, 5, draw, way).int() for way in WAYS)
        difference = (exact - fast).abs()
        assert difference.float().mean() <= bound
        assert difference.max() <= (2 if bound == MEAN_BOUND else 16)


@pytest.mark.parametrize("size", [(256, 256), (256, 200), (180, 256)], ids=str)
def test_both_crop_alike(size: tuple[int, int]) -> None:
    """Red tells the column and green the row, so that a crop one pixel off is one level off."""
    width, height = size
    columns, rows = np.meshgrid(np.arange(width), np.arange(height))
    raw = encoded(Image.fromarray(np.dstack([columns, rows, 0 * rows]).astype(np.uint8)))
    for draw in range(20):
        exact, fast = (decode_crop(raw, SIDE, 5, draw, way).float() for way in WAYS)
        assert (exact - fast).mean(dim=(1, 2)).abs().max() < 0.05


@pytest.mark.parametrize("way", WAYS)
def test_crops_are_their_own_uint8_tensors(way: Decoder) -> None:
    for mode, format_ in (("RGB", "JPEG"), ("L", "JPEG"), ("RGB", "PNG"), ("LA", "PNG")):
        raw = encoded(natural_picture(60, 50).convert(mode), format_)
        crop = decode_crop(raw, 32, 0, 0, way)
        assert (crop.shape, crop.dtype, crop.is_contiguous()) == ((3, 32, 32), torch.uint8, True)
        assert crop.untyped_storage().nbytes() == 3 * 32 * 32
        assert torch.equal(crop.fill_(7), torch.full((3, 32, 32), 7, dtype=torch.uint8))


@pytest.mark.parametrize("way", WAYS)
def test_is_a_pure_function_of_seed_and_draw(way: Decoder) -> None:
    raw = encoded(natural_picture(160, 120), "JPEG")

    def crop(seed: int, draw: int) -> Tensor:
        return decode_crop(raw, 24, seed, draw, way)

    first = crop(5, 1 << 40)
    torch.rand(3)
    assert torch.equal(first, crop(5, 1 << 40))
    assert not torch.equal(first, crop(6, 1 << 40))
    assert not torch.equal(first, crop(5, 1))


@pytest.mark.parametrize("way", WAYS)
def test_what_is_no_image_is_one_error(way: Decoder) -> None:
    for raw in (b"", b"text", encoded(natural_picture(60, 50), "JPEG")[:-400], encoded(Image.new("L", (3000, 2)))):
        with pytest.raises(ImageDecodeError):
            decode_crop(raw, SIDE, 0, 0, way)


def test_fast_is_the_same_without_vector_units() -> None:
    """A run whose nodes differ still sees one picture."""
    raw = encoded(natural_picture(300, 400), "JPEG")
    environment = os.environ | {"ATEN_CPU_CAPABILITY": "default", "CUDA_VISIBLE_DEVICES": ""}
    there = subprocess.run(
        [sys.executable, "-c", FAST_CROP], env=environment, input=raw, stdout=subprocess.PIPE, check=True
    )
    assert there.stdout == decode_crop(raw, SIDE, 0, 1, "fast").numpy().tobytes()
