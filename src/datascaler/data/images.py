"""Encoded bytes -> RGB image, as DataComp's own preparation does it."""

import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from datascaler.data.flatten import flatten
from datascaler.data.jpeg import jpeg_pixels
from datascaler.errors import DatascalerError

MAX_PIXELS = 100_000_000
"""A pool image has at most 512 x 512; this only stops decompression bombs."""
MAX_ASPECT = 1000
"""Longer side over shorter. Resizing the shorter side to 224 would make gigabytes of a line of pixels."""
_JPEG_FORMATS = ("JPEG", "MPO")
"""An MPO is a JPEG with more pictures after the first, which counts."""


class ImageDecodeError(DatascalerError):
    """These bytes are not an image that Pillow can read whole."""


def decode_rgb(encoded: bytes | memoryview) -> Image.Image:
    """Decode to RGB, bit-equal to Pillow's; transparency is flattened on white (img2dataset's rule for DataComp).

    Orientation in EXIF and colour profiles are ignored, as open_clip and img2dataset do.
    An animation is its first frame. Raises ImageDecodeError.
    """
    decoded = _decode(encoded)
    return decoded if isinstance(decoded, Image.Image) else Image.fromarray(decoded)


def decode_pixels(encoded: bytes | memoryview) -> NDArray[np.uint8]:
    """The same as decode_rgb, as a writable uint8 [height, width, 3]."""
    decoded = _decode(encoded)
    return np.array(decoded) if isinstance(decoded, Image.Image) else decoded


def _decode(encoded: bytes | memoryview) -> Image.Image | NDArray[np.uint8]:
    """In whichever form is at hand."""
    try:
        with _no_warnings():
            # Reads the header, which is little work, so a file is refused or not whatever decodes it afterwards.
            image = Image.open(io.BytesIO(encoded))
            _refuse_bombs(image.width, image.height)
            if image.format in _JPEG_FORMATS:
                pixels = jpeg_pixels(encoded, image.width, image.height)
                if pixels is not None:
                    return pixels
            image.load()
            return flatten(image)
    except ImageDecodeError:
        raise
    except UnidentifiedImageError as error:
        raise ImageDecodeError("not an image format that Pillow knows") from error
    except Exception as error:  # Pillow's plugins raise nearly anything on malformed input
        raise ImageDecodeError(f"{type(error).__name__}: {error}") from error


def _refuse_bombs(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise ImageDecodeError(f"{width} x {height} pixels: more than {MAX_PIXELS} are refused")
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise ImageDecodeError(f"{width} x {height} pixels: sides of more than {MAX_ASPECT}:1 are refused")


_decoders_lock = threading.Lock()
_decoders = 0
_caught = warnings.catch_warnings()


@contextmanager
def _no_warnings() -> Iterator[None]:
    """Pillow warns about odd metadata in files that decode well.

    Python's warning filters belong to the process, so threads that save and restore them on their own leave them in any
    state: the first decoder to come silences them, the last to go restores them.
    """
    global _decoders, _caught
    with _decoders_lock:
        if _decoders == 0:
            _caught = warnings.catch_warnings()
            _caught.__enter__()
            warnings.simplefilter("ignore")
        _decoders += 1
    try:
        yield
    finally:
        with _decoders_lock:
            _decoders -= 1
            if _decoders == 0:
                _caught.__exit__(None, None, None)
