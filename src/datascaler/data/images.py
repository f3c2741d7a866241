"""Encoded bytes -> RGB image, as DataComp's own preparation does it."""

import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image, UnidentifiedImageError

from datascaler.errors import DatascalerError

MAX_PIXELS = 100_000_000
"""A pool image has at most 512 x 512; this only stops decompression bombs."""
MAX_ASPECT = 1000
"""Longer side over shorter. Resizing the shorter side to 224 would make gigabytes of a line of pixels."""


class ImageDecodeError(DatascalerError):
    """These bytes are not an image that Pillow can read whole."""


def decode_rgb(encoded: bytes) -> Image.Image:
    """Decode to RGB; transparency is flattened on white (img2dataset's rule for DataComp)."""
    try:
        with _no_warnings():
            image = Image.open(io.BytesIO(encoded))
            _refuse_bombs(image.width, image.height)
            image.load()
            if image.mode in ("RGBA", "LA", "PA") or (image.mode == "P" and "transparency" in image.info):
                rgba = image.convert("RGBA")
                flat = Image.new("RGB", rgba.size, (255, 255, 255))
                flat.paste(rgba, mask=rgba.getchannel("A"))
                return flat
            return image.convert("RGB")
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
