"""The crop against torchvision's, and its randomness."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms.functional import pil_to_tensor, resized_crop
from torchvision.transforms.v2 import InterpolationMode

from datascaler.tools.philox import uniforms
from datascaler.train.loading import augment
from datascaler.train.loading.augment import random_crop

SIZES = [
    (512, 512),
    (48, 48),
    (640, 480),
    (481, 333),
    (7, 5),
    (2, 3),
    (1, 1),
    (1, 900),
    (3000, 4),
    (100, 131),
    (134, 100),
]


def picture(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(width * 7919 + height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def box_of(width: int, height: int, draw: int) -> tuple[int, int, int, int]:
    """left, top, width, height"""
    return augment._crop_box(width, height, uniforms(40, (3, draw)).reshape(10, 4))


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_equals_torchvision_for_the_same_box(size: tuple[int, int]) -> None:
    image = picture(*size)
    for draw in range(5):
        left, top, width, height = box_of(*size, draw)
        theirs = resized_crop(image, top, left, height, width, [32, 32], InterpolationMode.BICUBIC)
        ours = random_crop(image, 32, seed=3, draw=draw)
        assert ours.dtype == torch.uint8
        assert ours.is_contiguous()
        assert torch.equal(ours, pil_to_tensor(theirs))


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_boxes_lie_inside_and_keep_nine_tenths(size: tuple[int, int]) -> None:
    for draw in range(200):
        left, top, width, height = box_of(*size, draw)
        assert 0 <= left <= left + width <= size[0]
        assert 0 <= top <= top + height <= size[1]
        assert min(width, height) >= 1
        # Of a very long image only a central part has a legal shape.
        if 3 / 4 <= size[0] / size[1] <= 4 / 3 and min(size) > 40:
            assert 0.89 < width * height / (size[0] * size[1]) <= 1


@pytest.mark.parametrize("size", [(1, 900), (3000, 4), (1, 1)], ids=str)
def test_a_shape_that_never_fits_gives_torchvisions_central_box(size: tuple[int, int]) -> None:
    theirs = RandomResizedCrop.get_params(picture(*size), [0.9, 1.0], [3 / 4, 4 / 3])
    left, top, width, height = box_of(*size, 0)
    assert (top, left, height, width) == theirs


def test_boxes_are_spread_like_torchvisions() -> None:
    torch.manual_seed(0)
    image = picture(200, 200)
    theirs = np.array([RandomResizedCrop.get_params(image, [0.9, 1.0], [3 / 4, 4 / 3]) for _ in range(2000)])
    ours = np.array([box_of(200, 200, draw) for draw in range(2000)])[:, [1, 0, 3, 2]]
    # Four standard errors of a difference of two means of 2,000.
    error = np.hypot(ours.std(axis=0), theirs.std(axis=0)) / np.sqrt(2000)
    assert (np.abs(ours.mean(axis=0) - theirs.mean(axis=0)) < 4 * error).all()
    np.testing.assert_allclose(ours.std(axis=0), theirs.std(axis=0), rtol=0.1)


def test_is_a_pure_function_of_seed_and_draw() -> None:
    image = picture(160, 120)
    first = random_crop(image, 24, seed=5, draw=1 << 40)
    np.random.default_rng().random()
    torch.rand(3)
    random_crop(image, 24, seed=5, draw=2)
    assert torch.equal(first, random_crop(image, 24, seed=5, draw=1 << 40))
    others = [random_crop(image, 24, seed=6, draw=1 << 40), random_crop(image, 24, seed=5, draw=(1 << 40) + 1)]
    assert not any(torch.equal(first, other) for other in others)


def test_grey_pictures_keep_three_equal_channels() -> None:
    crop = random_crop(picture(60, 50).convert("L").convert("RGB"), 16, seed=0, draw=0)
    assert crop.shape == (3, 16, 16)
    assert torch.equal(crop[0], crop[1])
    assert torch.equal(crop[0], crop[2])
