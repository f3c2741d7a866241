"""Encoded bytes -> RGB image, as DataComp's own preparation does it."""

import io
import warnings

from PIL import Image

from datascaler.errors import DatascalerError

MAX_PIXELS = 100_000_000
"""A pool image has at most 512 x 512; this only stops decompression bombs."""


class ImageDecodeError(DatascalerError):
    """These bytes are not an image that Pillow can read whole."""


def decode_rgb(encoded: bytes) -> Image.Image:
    """Decode to RGB; transparency is flattened on white (img2dataset's rule for DataComp)."""
    try:
        with warnings.catch_warnings():
            # Pillow warns about odd metadata in files that decode well.
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(encoded))
            if image.width * image.height > MAX_PIXELS:
                raise ImageDecodeError(f"{image.width} x {image.height} pixels: more than {MAX_PIXELS} are refused")
            image.load()
            if image.mode in ("RGBA", "LA", "PA") or (image.mode == "P" and "transparency" in image.info):
                rgba = image.convert("RGBA")
                flat = Image.new("RGB", rgba.size, (255, 255, 255))
                flat.paste(rgba, mask=rgba.getchannel("A"))
                return flat
            return image.convert("RGB")
    except ImageDecodeError:
        raise
    except Exception as error:  # Pillow's plugins raise nearly anything on malformed input
        raise ImageDecodeError(f"{type(error).__name__}: {error}") from error
