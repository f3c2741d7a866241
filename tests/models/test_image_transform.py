"""Preprocessing in two parts: together they are open_clip's transform."""

import pickle
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from torchvision.transforms import Compose, Resize

from datascaler.errors import ConfigError
from datascaler.models.image_transform import SplitTransform, WholeTransform, fast_transform, split_transform
from tests.natural import natural_picture

SIZES = [(90, 60), (60, 90), (48, 48), (33, 200), (7, 5)]


@pytest.mark.parametrize("options", [{}, {"resize_mode": "longest"}, {"resize_mode": "squash"}, {"mean": (0.5,) * 3}])
def test_both_parts_are_the_whole(options: dict[str, Any]) -> None:
    whole = open_clip.image_transform(48, is_train=False, **options)
    parts = pickle.loads(pickle.dumps(split_transform(whole)))
    assert isinstance(parts, SplitTransform)
    pictures = [natural_picture(*size) for size in SIZES]
    prepared = torch.stack([parts.prepare(picture) for picture in pictures])
    assert (prepared.dtype, prepared.shape) == (torch.uint8, (len(SIZES), 48, 48, 3))
    assert torch.equal(parts.finish(prepared), torch.stack([whole(picture) for picture in pictures]))


def test_any_other_transform_is_the_workers() -> None:
    whole = open_clip.image_transform(48, is_train=False)
    for transform in (lambda picture: whole(picture), Compose([*whole.transforms, Resize(24)])):
        parts = split_transform(transform)
        assert isinstance(parts, WholeTransform)
        prepared = parts.prepare(natural_picture(60, 50))[None]
        assert torch.equal(parts.finish(prepared), transform(natural_picture(60, 50))[None])


@pytest.mark.parametrize("options", [{}, {"resize_mode": "squash"}, {"mean": (0.5,) * 3}], ids=str)
@pytest.mark.parametrize("size", [(512, 384), (384, 512), (333, 481), (300, 300), (301, 225)], ids=str)
def test_fast_is_near_and_cuts_the_same_window(options: dict[str, Any], size: tuple[int, int]) -> None:
    whole = open_clip.image_transform(224, is_train=False, **options)
    exact, fast = split_transform(whole), pickle.loads(pickle.dumps(fast_transform(whole)))
    assert isinstance(exact, SplitTransform)
    # Red tells the column and green the row, so that a window one pixel off is a level off.
    columns, rows = np.meshgrid(np.arange(size[0]) % 256, np.arange(size[1]) % 256)
    ramps = Image.fromarray(np.dstack([columns, rows, 0 * rows]).astype(np.uint8))
    for picture in (natural_picture(*size), ramps):
        for given in (picture, np.array(picture)):
            near = fast.prepare(given)
            assert (near.dtype, near.shape, near.is_contiguous()) == (torch.uint8, (3, 224, 224), True)
            prepared = exact.prepare(picture)
            difference = (near.permute(1, 2, 0).int() - prepared.int()).abs().float()
            assert difference.mean() < 0.25
            assert torch.equal(fast.finish(near[None]), exact.finish(near.permute(1, 2, 0)[None]))


def test_fast_refuses_what_it_does_not_know() -> None:
    padded = open_clip.image_transform(48, is_train=False, resize_mode="longest")
    other_filter = open_clip.image_transform(48, is_train=False, interpolation="bilinear")
    for transform in (padded, other_filter, lambda picture: padded(picture)):
        with pytest.raises(ConfigError, match="--decode fast knows a bicubic resize"):
            fast_transform(transform)
