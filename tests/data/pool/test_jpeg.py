"""simplejpeg in place of Pillow: equal pixels, equal verdicts on files with flaws, and Pillow where it is missing."""

import io
import struct
import sys
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from datascaler.data.pool import jpeg
from datascaler.data.pool.images import ImageDecodeError, decode_pixels, decode_rgb
from datascaler.data.pool.jpeg import jpeg_pixels
from tests.natural import encoded, natural_picture

SIZES = [(160, 120), (161, 119), (33, 65), (17, 9), (8, 8), (3, 2), (2, 3), (1, 1), (1, 40)]
EXIF_TURNED = Image.Exif()
EXIF_TURNED[0x0112] = 6


def by_pillow(raw: bytes) -> NDArray[np.uint8] | None:
    """None where Pillow can't read it whole."""
    try:
        return np.asarray(Image.open(io.BytesIO(raw)).convert("RGB"))
    except Exception:  # Pillow raises nearly anything
        return None


def by_us(raw: bytes) -> NDArray[np.uint8] | None:
    try:
        return decode_pixels(raw)
    except ImageDecodeError:
        return None


def sound(raw: bytes) -> NDArray[np.uint8]:
    """As simplejpeg decodes it, checked against every other way."""
    image = Image.open(io.BytesIO(raw))
    pixels = jpeg_pixels(raw, image.width, image.height)
    assert pixels is not None, "simplejpeg left it to Pillow"
    np.testing.assert_array_equal(pixels, by_pillow(raw))
    np.testing.assert_array_equal(np.asarray(decode_rgb(raw)), pixels)
    np.testing.assert_array_equal(decode_pixels(memoryview(raw)), pixels)
    return pixels


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_equals_pillow(size: tuple[int, int], subsampling: str, progressive: bool) -> None:
    image = natural_picture(*size, slope=0.8)
    for quality in (30, 95, 100):
        for restart in (0, 2):
            options = {"quality": quality, "restart_marker_blocks": restart}
            sound(encoded(image, "JPEG", subsampling=subsampling, progressive=progressive, **options))


@pytest.mark.parametrize("subsampling", ["440", "411", "Gray"])
def test_equals_pillow_with_rare_subsampling(subsampling: str) -> None:
    sound(simplejpeg.encode_jpeg(np.array(natural_picture(70, 50)), colorsubsampling=subsampling))


def test_grey_and_untransformed_rgb_equal_pillow() -> None:
    image = natural_picture(61, 47)
    grey = sound(encoded(image.convert("L"), "JPEG"))
    assert (grey == grey[..., :1]).all()
    sound(encoded(image, "JPEG", keep_rgb=True))


def test_orientation_and_colour_profile_are_ignored() -> None:
    image = natural_picture(64, 48)
    plain = sound(encoded(image, "JPEG"))
    tagged = encoded(image, "JPEG", exif=EXIF_TURNED, icc_profile=b"no profile at all" * 9)
    assert Image.open(io.BytesIO(tagged)).getexif()[0x0112] == 6
    np.testing.assert_array_equal(sound(tagged), plain)


def test_the_first_picture_of_several_counts() -> None:
    first, second = natural_picture(40, 30), natural_picture(20, 10)
    raw = encoded(first, "MPO", save_all=True, append_images=[second])
    assert Image.open(io.BytesIO(raw)).format == "MPO"
    assert sound(raw).shape == (30, 40, 3)


def test_cmyk_is_left_to_pillow() -> None:
    raw = encoded(natural_picture(40, 30).convert("CMYK"), "JPEG")
    assert jpeg_pixels(raw, 40, 30) is None
    np.testing.assert_array_equal(np.asarray(decode_rgb(raw)), by_pillow(raw))


@pytest.mark.parametrize("progressive", [False, True])
def test_a_cut_file_has_pillows_verdict_wherever_it_is_cut(progressive: bool) -> None:
    raw = encoded(natural_picture(48, 32), "JPEG", quality=80, progressive=progressive)
    verdicts = Counter(by_us(raw[:length]) is None for length in range(1, len(raw)) if same_as_pillow(raw[:length]))
    assert verdicts[True] == len(raw) - 1


@pytest.mark.parametrize("tail", [b"\0", b"garbage", b"\xff\xd9", b"\xff", bytes(5000)], ids=repr)
def test_what_follows_the_picture_does_not_matter(tail: bytes) -> None:
    raw = encoded(natural_picture(48, 32), "JPEG")
    assert same_as_pillow(raw + tail)
    np.testing.assert_array_equal(decode_pixels(raw + tail), decode_pixels(raw))


def test_damaged_files_have_pillows_verdict_and_pixels() -> None:
    damaged = list(damages(400))
    assert all(map(same_as_pillow, damaged))
    verdicts = Counter(by_us(raw) is not None for raw in damaged)
    assert min(verdicts[True], verdicts[False]) > 20, "both happen"


def same_as_pillow(raw: bytes) -> bool:
    ours, theirs = by_us(raw), by_pillow(raw)
    return ours is theirs is None if ours is None or theirs is None else np.array_equal(ours, theirs)


def damages(count: int) -> Iterator[bytes]:
    """Sound files with bytes changed, lost, put in, or with an early end marker."""
    generator = np.random.default_rng(1)
    image = natural_picture(40, 24)
    files = [
        encoded(image, "JPEG", progressive=progressive, subsampling=subsampling, restart_marker_blocks=restart)
        for progressive in (False, True)
        for subsampling in ("4:4:4", "4:2:0")
        for restart in (0, 2)
    ]
    for number in range(count):
        raw = bytearray(files[number % len(files)])
        # The header, and anywhere.
        at = int(generator.integers(len(raw) if number % 2 else 640))
        kind = generator.integers(4)
        if kind == 0:
            raw[at] = generator.integers(256)
        elif kind == 1:
            del raw[at : at + int(generator.integers(1, 20))]
        elif kind == 2:
            raw[at:at] = generator.bytes(3)
        else:
            raw[at:] = b"\xff\xd9"
        yield bytes(raw)


def test_a_bomb_is_refused_by_its_header() -> None:
    raw = bytearray(encoded(Image.new("RGB", (8, 8)), "JPEG"))
    frame = raw.index(b"\xff\xc0")
    raw[frame + 5 : frame + 9] = struct.pack(">HH", 60_000, 50_000)
    with pytest.raises(ImageDecodeError):
        decode_rgb(bytes(raw))
    raw[frame + 5 : frame + 9] = struct.pack(">HH", 12_000, 12_000)
    with pytest.raises(ImageDecodeError, match="12000 x 12000 pixels: more than 100000000 are refused"):
        decode_rgb(bytes(raw))


def test_nothing_is_decoded_that_has_another_size_than_pillow_read() -> None:
    raw = encoded(natural_picture(40, 30), "JPEG")
    assert jpeg_pixels(raw, 40, 30) is not None
    assert jpeg_pixels(raw, 30, 40) is None


@pytest.fixture
def without_simplejpeg(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As the launcher's install has it."""
    monkeypatch.setitem(sys.modules, "simplejpeg", None)
    jpeg._simplejpeg.cache_clear()
    yield
    jpeg._simplejpeg.cache_clear()


@pytest.mark.usefixtures("without_simplejpeg")
def test_without_simplejpeg_pillow_decodes() -> None:
    raw = encoded(natural_picture(40, 30), "JPEG")
    assert jpeg_pixels(raw, 40, 30) is None
    np.testing.assert_array_equal(decode_pixels(raw), by_pillow(raw))
