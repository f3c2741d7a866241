"""Decoding: RGB on white, one error for all that is no image, and quiet in threads."""

import io
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image

from datascaler.data.images import MAX_PIXELS, ImageDecodeError, decode_rgb
from tests.data.tars import picture


def encoded(image: Image.Image, format_: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_, **options)
    return buffer.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def odd_png() -> bytes:
    """It decodes, with a warning: an animation of no frames."""
    png = picture()
    after_header = 8 + 25
    return png[:after_header] + chunk(b"acTL", struct.pack(">II", 0, 0)) + png[after_header:]


@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P", "CMYK"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    image = decode_rgb(encoded(Image.new(mode, (5, 4)), "TIFF"))
    assert (image.mode, image.size) == ("RGB", (5, 4))


def test_transparency_is_white() -> None:
    clear = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    assert decode_rgb(encoded(clear)).getpixel((0, 0)) == (255, 255, 255)
    assert decode_rgb(encoded(Image.new("LA", (4, 4), (0, 0)))).getpixel((0, 0)) == (255, 255, 255)
    palette = Image.new("P", (4, 4), 3)
    palette.putpalette(range(30))
    assert decode_rgb(encoded(palette)).getpixel((0, 0)) == (9, 10, 11)
    assert decode_rgb(encoded(palette, transparency=3)).getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("raw", [b"", b"GIF89a", b"\xff\xd8\xff", b"text", picture(size=(64, 64))[:-60]])
def test_what_is_no_image_is_one_error(raw: bytes) -> None:
    with pytest.raises(ImageDecodeError):
        decode_rgb(raw)


def test_a_bomb_is_refused_before_it_is_decoded() -> None:
    header = struct.pack(">IIBBBBB", MAX_PIXELS, 2, 8, 0, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    with pytest.raises(ImageDecodeError):
        decode_rgb(bomb)


def test_warnings_of_pillow_stay_quiet_in_threads_and_the_filters_as_they_were() -> None:
    odd = odd_png()
    with pytest.warns(UserWarning, match="Invalid APNG"):
        Image.open(io.BytesIO(odd)).close()
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as executor:
        images = list(executor.map(decode_rgb, [odd] * 400))
    assert len(images) == 400
    assert warnings.filters == before


def test_a_line_of_pixels_is_refused_before_it_is_resized() -> None:
    buffer = io.BytesIO()
    Image.new("L", (3000, 2)).save(buffer, "PNG")
    with pytest.raises(ImageDecodeError, match="3000 x 2 pixels: sides of more than 1000:1 are refused"):
        decode_rgb(buffer.getvalue())
