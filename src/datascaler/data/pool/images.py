"""Encoded bytes -> RGB image, as DataComp's own preparation does it.

Pillow reads the header and decides whether a file is refused. Sound JPEGs are decoded by simplejpeg, bit-equal to
Pillow's and in about two thirds of its time.
"""

import functools
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from datascaler.errors import ImageDecodeError, TryAgainError, first_line
from datascaler.tools.foreign_warnings import WrongResult, heard

MAX_PIXELS = 100_000_000
"""A pool image has at most 512 x 512; this only stops decompression bombs."""
MAX_ASPECT = 1000
"""Longer side over shorter. Resizing the shorter side to 224 would make gigabytes of a line of pixels."""
_SPARE_BYTES, _BYTES_PER_PIXEL = 64 << 20, 12
"""The memory that a sound picture needs to be decoded: three forms of it at a time, and what others take meanwhile."""
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
"""What pools hold. Of Pillow's forty others, some start programs (Ghostscript, for what begins with %!PS) or hang."""
_JPEG_FORMATS = ("JPEG", "MPO")
"""An MPO is a JPEG with more pictures after the first, which counts."""
_PILLOWS_MAX_PIXELS = 2 * (1 << 30) // 4 // 3
"""Beyond which Pillow, left as it is, opens no image."""
_WHITE = (255, 255, 255)
_LARGE_TEXT = "MAX_TEXT"
"""What Pillow says of a PNG with more than 1 MB in a text, which is sound: programs keep whole workflows there."""
_PNG, _PNG_TEXTS = b"\x89PNG\r\n\x1a\n", (b"tEXt", b"zTXt", b"iTXt", b"iCCP")
_COLORSPACES = ("YCbCr", "RGB", "Gray")
"""What both libraries turn into the same RGB. CMYK and YCCK are Pillow's."""


def decode_rgb(encoded: bytes | memoryview) -> Image.Image:
    """Decode to RGB, bit-equal to Pillow's; transparency is flattened on white (img2dataset's rule for DataComp).

    Orientation in EXIF and colour profiles are ignored, as open_clip and img2dataset do.
    An animation is its first frame. Raises ImageDecodeError.
    """
    decoded = _decode(encoded)
    return decoded if isinstance(decoded, Image.Image) else Image.fromarray(decoded)


def decode_evaluation_image(encoded: bytes | memoryview) -> Image.Image:
    """Decode to RGB by Pillow's `convert("RGB")` alone, as DataComp's evaluation does: what is transparent keeps its
    colour, 16-bit grey is cut at 255, and photographs may be as large as Pillow opens them. Raises ImageDecodeError.
    """
    decoded = _decode(encoded, _CONVERTED)
    return decoded if isinstance(decoded, Image.Image) else Image.fromarray(decoded)


def decode_pixels(encoded: bytes | memoryview) -> NDArray[np.uint8]:
    """The same as decode_rgb, as a writable uint8 [height, width, 3]."""
    decoded = _decode(encoded)
    return np.array(decoded) if isinstance(decoded, Image.Image) else decoded


def open_image(encoded: bytes | memoryview) -> Image.Image:
    """Read an image's header, by Pillow; its pixels are still to be decoded. Pillow's own errors pass."""
    try:
        return Image.open(io.BytesIO(encoded), formats=_FORMATS)
    except ValueError as error:
        if _LARGE_TEXT not in str(error):
            raise
    return Image.open(io.BytesIO(_without_texts(encoded)), formats=_FORMATS)


def _without_texts(encoded: bytes | memoryview) -> bytes:
    """A PNG without its texts and its colour profile, which change no pixel here."""
    content, at = bytes(encoded), len(_PNG)
    parts = [content[:at]]
    while at + 12 <= len(content):
        end = at + 12 + int.from_bytes(content[at : at + 4], "big")
        if content[at + 4 : at + 8] not in _PNG_TEXTS:
            parts.append(content[at:end])
        at = end
    return b"".join(parts)


def is_of_machine(error: Exception) -> bool:
    """Whether this says something of the machine, and nothing of the bytes: Pillow's own errors have no errno."""
    return isinstance(error, MemoryError | ImportError) or (isinstance(error, OSError) and error.errno is not None)


@dataclass(frozen=True, slots=True)
class _Rule:
    """How a decoded image becomes RGB, and which are refused."""

    to_rgb: Callable[[Image.Image], Image.Image]
    max_pixels: int = MAX_PIXELS
    refuses_warned: bool = True
    """Whether an image of which Pillow has left something out is refused."""


def _decode(encoded: bytes | memoryview, rule: _Rule | None = None) -> Image.Image | NDArray[np.uint8]:
    """The picture in whichever form is at hand.

    Where memory runs out, libraries may say anything, that a sound file is broken too. So what fails is tried again
    where there is memory for a sound picture, and broken only if it fails then. Raises TryAgainError where there isn't.
    """
    rule = rule or _FLATTENED
    try:
        return _try_to_decode(encoded, rule)
    except (ImageDecodeError, MemoryError):
        _require_memory(encoded)
    try:
        return _try_to_decode(encoded, rule)
    except MemoryError as error:
        raise ImageDecodeError("it asks for more memory than a picture of its size takes") from error


def _require_memory(encoded: bytes | memoryview) -> None:
    size = "unknown size"
    try:
        with heard(), open_image(encoded) as image:
            size = f"{image.width} x {image.height} pixels"
            pixels = min(image.width * image.height, MAX_PIXELS)
    except UnidentifiedImageError:
        pixels = 0
    except Exception:  # some formats are decoded in part when they are opened
        pixels = MAX_PIXELS
    try:
        np.empty(_SPARE_BYTES + _BYTES_PER_PIXEL * pixels, np.uint8)
    except MemoryError as error:
        raise TryAgainError(
            f"no memory is left to decode an image of {size}: lower --num-workers or give more memory"
        ) from error


def _try_to_decode(encoded: bytes | memoryview, rule: _Rule) -> Image.Image | NDArray[np.uint8]:
    try:
        with heard() as warned:
            # Reads the header, which is little work, so a file is refused or not whatever decodes it afterwards.
            image = open_image(encoded)
            _refuse_bombs(image.width, image.height, rule.max_pixels)
            if image.format in _JPEG_FORMATS:
                pixels = jpeg_pixels(encoded, image.width, image.height)
                if pixels is not None:
                    return pixels
            try:
                image.load()
            except ValueError as error:  # texts may stand behind the pixels
                if _LARGE_TEXT not in str(error):
                    raise
                image = Image.open(io.BytesIO(_without_texts(encoded)), formats=_FORMATS)
                image.load()
            flat = rule.to_rgb(image)
            if rule.refuses_warned:
                _refuse_wrong(image.format, warned)
            return flat
    except (ImageDecodeError, MemoryError):
        raise
    except UnidentifiedImageError as error:
        if not Image.OPEN.keys() >= set(_FORMATS):
            raise TryAgainError("Pillow's readers could not be loaded: give more memory, or install it anew") from error
        raise ImageDecodeError("not an image format that Pillow knows") from error
    except Exception as error:  # Pillow's plugins raise nearly anything on malformed input
        if is_of_machine(error):
            raise TryAgainError(f"no image can be decoded on this machine: {first_line(error)}") from error
        raise ImageDecodeError(f"{type(error).__name__}: {error}") from error


def _refuse_wrong(image_format: str | None, warned: list[tuple[str, WrongResult]]) -> None:
    """Pillow reads on where it had to leave something out."""
    for message, why in warned:
        if why.image_format in ("", image_format):
            raise ImageDecodeError(f"{why.meaning} ({message})")


def _refuse_bombs(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise ImageDecodeError(f"{width} x {height} pixels: more than {max_pixels} are refused")
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise ImageDecodeError(f"{width} x {height} pixels: sides of more than {MAX_ASPECT}:1 are refused")


def flatten(image: Image.Image) -> Image.Image:
    """A decoded image as RGB, by the rules of img2dataset, which made DataComp's pools: alpha is laid on white.

    16-bit grey keeps its high byte, as 16-bit colour does in Pillow (img2dataset lets it overflow to white). Floats are
    taken as 0-255 and rounded; what is not a number is black.
    """
    if image.mode.startswith("I"):
        # Mode I holds 32 bits, but what Pillow opens as one is grey of 16 bits: a PGM.
        high_bytes = np.clip(np.asarray(image), 0, 0xFFFF) >> 8
        return Image.fromarray(high_bytes.astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        levels = np.rint(np.clip(np.nan_to_num(np.asarray(image)), 0, 255))
        return Image.fromarray(levels.astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        flat = Image.new("RGB", rgba.size, _WHITE)
        flat.paste(rgba, mask=rgba.getchannel("A"))
        return flat
    return image.convert("RGB")


_FLATTENED = _Rule(flatten)
_CONVERTED = _Rule(lambda image: image.convert("RGB"), _PILLOWS_MAX_PIXELS, refuses_warned=False)


def jpeg_pixels(encoded: bytes | memoryview, width: int, height: int) -> NDArray[np.uint8] | None:
    """uint8 [height, width, 3], or None where Pillow must decide: simplejpeg is not installed, or the file has a flaw.

    `width` and `height` are what Pillow read in the header. EXIF orientation and colour profiles are ignored.
    """
    simplejpeg = _simplejpeg()
    if simplejpeg is None:
        return None
    decode_header, decode = simplejpeg
    try:
        # Before anything as large as the picture is allocated: the two parsers could be made to see different headers.
        header_height, header_width, colorspace, _ = decode_header(encoded)
        if (header_width, header_height) != (width, height) or colorspace not in _COLORSPACES:
            return None
        # Strict: every warning of the library is a ValueError. Pillow mends some of these files and refuses others.
        pixels: NDArray[np.uint8] = decode(encoded, "RGB", strict=True)
    except ValueError:
        return None
    return pixels


@functools.cache
def _simplejpeg() -> tuple[Callable[..., Any], Callable[..., Any]] | None:
    """Its decoders of headers and of pictures; it comes with the `worker` extra."""
    try:
        from simplejpeg import decode_jpeg, decode_jpeg_header
    except ImportError:
        return None
    return decode_jpeg_header, decode_jpeg
