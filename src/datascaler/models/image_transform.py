"""An open_clip image transform in two parts: what a decode worker does, and what the device does better.

A picture travels from worker to device as bytes, a quarter of its size as floats, and is normalised there.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from datascaler.models.open_clip_parts import Compose, MaybeToTensor, Normalize, ToTensor


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
        pixels = images.permute(0, 3, 1, 2).contiguous().to(torch.float32).div_(255)
        return pixels.sub_(_per_channel(self.mean, images.device)).div_(_per_channel(self.std, images.device))


@cache
def _per_channel(values: tuple[float, ...], device: torch.device) -> Tensor:
    """[3, 1, 1]. Kept there: every copy to a device from unpinned memory waits for its queue."""
    return torch.tensor(values, device=device).view(3, 1, 1)


def split_transform(transform: Callable[[Image.Image], Tensor]) -> SplitTransform | WholeTransform:
    steps = list(transform.transforms) if isinstance(transform, Compose) else []
    if len(steps) < 2 or not isinstance(steps[-2], ToTensor | MaybeToTensor) or not isinstance(steps[-1], Normalize):
        return WholeTransform(transform)
    return SplitTransform(Compose(steps[:-2]), tuple(steps[-1].mean), tuple(steps[-1].std))
