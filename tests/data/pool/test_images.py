"""Decoding: RGB on white, one error for all that is no image, and quiet in threads."""

import errno
import io
import struct
import subprocess
import sys
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image

from datascaler.data.pool import images
from datascaler.data.pool.images import MAX_PIXELS, ImageDecodeError, decode_rgb
from datascaler.errors import TryAgainError
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


def run_with_little_memory(code: str) -> str:
    """What a program prints whose address space is limited to what it has after its imports, and `spare` MB more."""
    begin = """
import io, resource, sys
import numpy as np
from PIL import Image
from datascaler.data.pool.images import ImageDecodeError, decode_pixels
from datascaler.data.pool.pool_rows import PoolSample, stored_row
from datascaler.errors import TryAgainError

def encoded(side, kind):
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), "red").save(buffer, kind)
    return buffer.getvalue()

def limit(spare):
    pages = int(open("/proc/self/statm").read().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + (spare << 20), -1))

def outcome(act):
    try:
        act()
    except Exception as error:
        return type(error).__name__
    return "ok"
"""
    done = subprocess.run([sys.executable, "-c", begin + code], capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_sound_picture_is_never_broken_for_want_of_memory(kind: str) -> None:
    code = f"""
large, small = encoded(2500, {kind!r}), encoded(20, {kind!r})
decode_pixels(small)
broken = small[: len(small) // 2]
for spare in (4, 10, 30, 60, 2000):
    limit(spare)
    sample = PoolSample(image=large, suffix="jpg", caption="caption", url="url")
    acts = lambda: decode_pixels(large), lambda: decode_pixels(broken), lambda: stored_row(sample)
    print(spare, *map(outcome, acts))
"""
    outcomes = [line.split()[1:] for line in run_with_little_memory(code).splitlines()]
    assert {each for large, _, stored in outcomes for each in (large, stored)} <= {"ok", "TryAgainError", "MemoryError"}
    assert outcomes[0][:2] == ["TryAgainError", "TryAgainError"]
    assert outcomes[-1] == ["ok", "ImageDecodeError", "ok"]


def test_errors_of_the_system_are_not_the_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(images, "flatten", fail)
    with pytest.raises(TryAgainError, match=r"no image can be decoded on this machine: .*Too many open files"):
        decode_rgb(picture())
