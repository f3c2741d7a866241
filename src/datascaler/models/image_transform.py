"""An open_clip image transform in two parts: what a decode worker does, and what the device does better.

A picture travels from worker to device as bytes, a quarter of its size as floats, and is normalised there. `fast` does
the worker's part with torch's filter in place of Pillow's, in a third of the time.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from datascaler.errors import ConfigError
from datascaler.models.open_clip_parts import (
    CenterCrop,
    Compose,
    InterpolationMode,
    MaybeConvertMode,
    MaybeToTensor,
    Normalize,
    Resize,
    ToTensor,
)


@dataclass(frozen=True, slots=True)
class WholeTransform:
    """A transform that is not known to have two parts: all of it is the worker's. Picklable if the transform is."""

    transform: Callable[[Image.Image], Tensor]

    def prepare(self, image: Image.Image) -> Tensor:
        """RGB picture -> float32 [3, H, W]"""
        return self.transform(image)

    def finish(self, images: Tensor) -> Tensor:
        """[n, 3, H, W], as `prepare` gives them, are ready."""
        return images


@dataclass(frozen=True, slots=True)
class SplitTransform:
    """Resize and crop in the worker; scale and normalise on the device, by the same operations as torchvision's."""

    resize: Callable[[Image.Image], Image.Image]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def prepare(self, image: Image.Image) -> Tensor:
        """RGB picture -> uint8 [H, W, 3]"""
        return torch.from_numpy(np.array(self.resize(image)))

    def finish(self, images: Tensor) -> Tensor:
        """uint8 [n, H, W, 3] -> float32 [n, 3, H, W], normalised, on the same device."""
        return _normalised(images.permute(0, 3, 1, 2).contiguous(), self.mean, self.std)


@dataclass(frozen=True, slots=True)
class FastTransform:
    """A SplitTransform whose resize and centre crop are torch's, on the same filter with weights of 16 bits."""

    size: int | tuple[int, int]
    """The shorter side's, or (height, width)."""
    crop: tuple[int, int]
    """Height and width."""
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def prepare(self, image: Image.Image | NDArray[np.uint8]) -> Tensor:
        """RGB picture -> uint8 [3, H, W]"""
        pixels = np.array(image) if isinstance(image, Image.Image) else image
        height, width = self.size if isinstance(self.size, tuple) else _with_shorter_side(self.size, pixels)
        resized = resize_fast(pixels, height, width)
        top, left = round((height - self.crop[0]) / 2), round((width - self.crop[1]) / 2)
        return resized[:, top : top + self.crop[0], left : left + self.crop[1]].contiguous()

    def finish(self, images: Tensor) -> Tensor:
        """uint8 [n, 3, H, W] -> float32, normalised, on the same device."""
        return _normalised(images, self.mean, self.std)


def resize_fast(pixels: NDArray[np.uint8], height: int, width: int) -> Tensor:
    """RGB uint8 [h, w, 3] -> uint8 [3, height, width] by torch's antialiased bicubic filter."""
    channels_last = torch.from_numpy(pixels).permute(2, 0, 1).unsqueeze(0)
    return F.interpolate(channels_last, (height, width), mode="bicubic", antialias=True)[0]


def _with_shorter_side(size: int, pixels: NDArray[np.uint8]) -> tuple[int, int]:
    """Height and width, by torchvision's rule."""
    height, width, _ = pixels.shape
    return (size, int(size * width / height)) if height <= width else (int(size * height / width), size)


def _normalised(pixels: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    device = pixels.device
    return pixels.to(torch.float32).div_(255).sub_(_per_channel(mean, device)).div_(_per_channel(std, device))


@cache
def _per_channel(values: tuple[float, ...], device: torch.device) -> Tensor:
    """[3, 1, 1]. Kept there: every copy to a device from unpinned memory waits for its queue."""
    return torch.tensor(values, device=device).view(3, 1, 1)


def split_transform(transform: Callable[[Image.Image], Tensor]) -> SplitTransform | WholeTransform:
    steps = list(transform.transforms) if isinstance(transform, Compose) else []
    if len(steps) < 2 or not isinstance(steps[-2], ToTensor | MaybeToTensor) or not isinstance(steps[-1], Normalize):
        return WholeTransform(transform)
    return SplitTransform(Compose(steps[:-2]), tuple(steps[-1].mean), tuple(steps[-1].std))


def fast_transform(transform: Callable[[Image.Image], Tensor]) -> FastTransform:
    """Raises ConfigError for a transform that is not a bicubic resize, a centre crop and a normalisation."""
    split = split_transform(transform)
    if isinstance(split, SplitTransform) and isinstance(split.resize, Compose):
        steps: list[Any] = list(split.resize.transforms)
        kinds = [type(step) for step in steps]
        if kinds in ([Resize, CenterCrop, MaybeConvertMode], [Resize, MaybeConvertMode]):
            size = tuple(steps[0].size) if isinstance(steps[0].size, Sequence) else steps[0].size
            is_known = steps[0].interpolation is InterpolationMode.BICUBIC and steps[0].max_size is None
            if is_known and (CenterCrop in kinds or isinstance(size, tuple)):
                return FastTransform(size, tuple(steps[-2].size), split.mean, split.std)
    raise ConfigError(
        "--decode fast knows a bicubic resize, with a centre crop or without, and a normalisation; this model's images "
        f"are prepared by {' '.join(repr(transform).split())}: leave it out"
    )
