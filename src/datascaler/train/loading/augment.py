"""DataComp's training augmentation, with randomness that belongs to the sample and not to the process."""

import math

import numpy as np
import torch
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from datascaler.data.pool.images import decode_pixels
from datascaler.models.image_transform import resize_fast
from datascaler.spec.train import Decoder
from datascaler.tools.philox import uniforms

CROP_AREA = (0.9, 1.0)
_ASPECT = (3 / 4, 4 / 3)
_TRIES = 10


def decode_crop(encoded: bytes | memoryview, side: int, seed: int, draw: int, how: Decoder) -> Tensor:
    """Encoded image -> uint8 [3, side, side]: decode_rgb, then random_crop's box, resized in one of two ways.

    `bicubic` gives the very pixels of random_crop: Pillow's filter, as in open_clip. `fast` has torch apply the same
    filter to the same crop with weights of 16 bits, in a sixth of the time. Of a photograph nearly all values are equal
    (the mean difference is 0.005 levels; 0.2 where Pillow shrinks the height first and torch the width), and the result
    does not depend on the processor's vector units.

    Raises ImageDecodeError.
    """
    pixels = decode_pixels(encoded)
    left, top, width, height = _random_box(pixels.shape[1], pixels.shape[0], seed, draw)
    crop = pixels[top : top + height, left : left + width]
    return resize_fast(crop, side, side).contiguous() if how == "fast" else _resize_bicubic(_to_image(crop), side)


def random_crop(image: Image.Image, side: int, seed: int, draw: int) -> Tensor:
    """RGB image -> uint8 [3, side, side]: random resized crop (bicubic), the same for the same (seed, draw).

    torchvision's RandomResizedCrop with open_clip's area range: area uniform, aspect ratio log-uniform in 3/4..4/3,
    the largest central crop of legal aspect if ten tries do not fit.
    """
    left, top, width, height = _random_box(image.width, image.height, seed, draw)
    return _resize_bicubic(image.crop((left, top, left + width, top + height)), side)


def _resize_bicubic(image: Image.Image, side: int) -> Tensor:
    resized = image.resize((side, side), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.asarray(resized).transpose(2, 0, 1).copy())


def _to_image(crop: NDArray[np.uint8]) -> Image.Image:
    """A window of an RGB array as an image, copied once: Pillow steps over what lies between its rows."""
    height, width, _ = crop.shape
    stride = crop.strides[0]
    span = as_strided(crop, ((height - 1) * stride + 3 * width,), (1,), writeable=False)
    return Image.frombytes("RGB", (width, height), span, "raw", "RGB", stride)


def _random_box(width: int, height: int, seed: int, draw: int) -> tuple[int, int, int, int]:
    """left, top, width and height"""
    return _crop_box(width, height, uniforms(4 * _TRIES, (seed, draw)).reshape(_TRIES, 4))


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
