"""DataComp's training augmentation, with randomness that belongs to the sample and not to the process."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from datascaler.data.randomness import uniforms

CROP_AREA = (0.9, 1.0)
_ASPECT = (3 / 4, 4 / 3)
_TRIES = 10


def random_crop(image: Image.Image, side: int, seed: int, draw: int) -> Tensor:
    """RGB image -> uint8 [3, side, side]: random resized crop (bicubic), the same for the same (seed, draw).

    torchvision's RandomResizedCrop with open_clip's area range: area uniform, aspect ratio log-uniform in 3/4..4/3,
    the largest central crop of legal aspect if ten tries do not fit.
    """
    random = uniforms(4 * _TRIES, (seed, draw)).reshape(_TRIES, 4)
    left, top, width, height = _crop_box(image.width, image.height, random)
    box = (left, top, left + width, top + height)
    resized = image.crop(box).resize((side, side), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.asarray(resized).transpose(2, 0, 1).copy())


def _crop_box(width: int, height: int, random: NDArray[np.float64]) -> tuple[int, int, int, int]:
    """left, top, width and height; `random` [tries, 4] is in [0, 1)."""
    log_aspects = math.log(_ASPECT[0]), math.log(_ASPECT[1])
    for area, aspect, across, down in random.tolist():
        target_area = width * height * _between(*CROP_AREA, area)
        ratio = math.exp(_between(*log_aspects, aspect))
        crop_width, crop_height = round(math.sqrt(target_area * ratio)), round(math.sqrt(target_area / ratio))
        if 0 < crop_width <= width and 0 < crop_height <= height:
            left, top = int(across * (width - crop_width + 1)), int(down * (height - crop_height + 1))
            return left, top, crop_width, crop_height
    crop_width = min(width, round(height * _ASPECT[1]))
    crop_height = min(height, round(width / _ASPECT[0]))
    return (width - crop_width) // 2, (height - crop_height) // 2, crop_width, crop_height


def _between(low: float, high: float, share: float) -> float:
    return low + (high - low) * share
