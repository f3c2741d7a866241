"""Preprocessing in two parts: together they are open_clip's transform."""

import pickle
from typing import Any

import open_clip
import pytest
import torch
from torchvision.transforms import Compose, Resize

from datascaler.models.image_transform import SplitTransform, WholeTransform, split_transform
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
