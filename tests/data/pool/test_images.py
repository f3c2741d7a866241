"""Images of a pool decode to the pixels of img2dataset and Pillow, or are refused with a reason."""

import ast
import errno
import io
import os
import struct
import subprocess
import sys
import warnings
import zlib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from datascaler.data.pool import images
from datascaler.data.pool.images import MAX_PIXELS, decode_pixels, decode_rgb, jpeg_pixels
from datascaler.data.pool.pool_rows import exif_json, image_suffix
from datascaler.errors import ImageDecodeError, TryAgainError
from tests.data.tars import picture
from tests.limits import within
from tests.natural import encoded, natural_picture

WIDE = np.array([[0, 255, 256], [0x1234, 0x8000, 0xFFFF]])
HIGH_BYTES = np.array([[0, 0, 1], [0x12, 0x80, 0xFF]])
SIZES = [(160, 120), (161, 119), (33, 65), (17, 9), (8, 8), (3, 2), (2, 3), (1, 1), (1, 40)]
EXIF_TURNED = Image.Exif()
EXIF_TURNED[0x0112] = 6


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
from datascaler.errors import ImageDecodeError
from datascaler.data.pool.images import decode_pixels
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
    def fail(_: Image.Image) -> Image.Image:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(images, "_FLATTENED", replace(images._FLATTENED, to_rgb=fail))
    with pytest.raises(TryAgainError, match=r"no image can be decoded on this machine: .*Too many open files"):
        decode_rgb(picture())


def prepared(raw: bytes) -> NDArray[np.uint8]:
    """What img2dataset's resizer makes of a file that needs no resizing, before it encodes it again; in RGB."""
    pixels = cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_UNCHANGED)
    assert pixels is not None
    assert pixels.dtype == np.uint8
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, axis=2)
    elif pixels.shape[2] == 4:
        alpha = pixels[..., 3:].astype(np.float64)
        pixels = np.rint((pixels[..., :3] * (alpha / 255) + (255 - alpha)).clip(0, 255))
    return pixels[..., ::-1].astype(np.uint8)


def with_alpha(mode: str) -> Image.Image:
    """A picture whose opacity takes all values."""
    image = natural_picture(64, 48).convert(mode)
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    return image


def cut_out() -> Image.Image:
    """A palette of colours, of which some are clear."""
    return natural_picture(64, 48).quantize(32)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(encoded(natural_picture(64, 48)), id="RGB"),
        pytest.param(encoded(natural_picture(64, 48).convert("L")), id="L"),
        pytest.param(encoded(natural_picture(64, 48).convert("1")), id="1"),
        pytest.param(encoded(cut_out()), id="palette"),
        pytest.param(encoded(cut_out(), transparency=bytes(range(0, 256, 8))), id="palette with opacities"),
        pytest.param(encoded(with_alpha("RGB")), id="RGBA"),
        pytest.param(encoded(with_alpha("L")), id="LA"),
        pytest.param(encoded(natural_picture(64, 48), "BMP"), id="BMP"),
        pytest.param(encoded(natural_picture(64, 48), "TIFF"), id="TIFF"),
        pytest.param(encoded(natural_picture(64, 48), "WEBP", lossless=True), id="WEBP"),
        pytest.param(encoded(with_alpha("RGB"), "WEBP", lossless=True), id="WEBP RGBA"),
    ],
)
def test_equals_img2dataset(raw: bytes) -> None:
    np.testing.assert_array_equal(decode_pixels(raw), prepared(raw))


def test_one_clear_colour_is_white() -> None:
    image = Image.new("RGB", (2, 1), (1, 2, 3))
    image.putpixel((0, 0), (9, 8, 7))
    expected = [[[255, 255, 255], [1, 2, 3]]]
    assert decode_pixels(encoded(image, transparency=(9, 8, 7))).tolist() == expected
    grey = Image.frombytes("L", (2, 1), bytes([9, 1]))
    assert decode_pixels(encoded(grey, transparency=9)).tolist() == [[[255] * 3, [1] * 3]]
    bits = Image.frombytes("1", (2, 1), b"\x40")
    assert decode_pixels(encoded(bits)).tolist() == [[[0] * 3, [255] * 3]]


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "TIFF big-endian", "PGM"])
def test_grey_of_16_bits_keeps_its_high_byte(kind: str) -> None:
    image = Image.fromarray(WIDE.astype(np.uint16))
    if kind == "PGM":
        raw = b"P5 3 2 65535\n" + WIDE.astype(">u2").tobytes()
    elif kind == "TIFF big-endian":
        raw = encoded(Image.frombytes("I;16B", (3, 2), WIDE.astype(">u2").tobytes()), "TIFF")
    else:
        raw = encoded(image, kind)
    np.testing.assert_array_equal(decode_pixels(raw), np.repeat(HIGH_BYTES[..., None], 3, axis=2))


def test_colour_of_16_bits_keeps_its_high_bytes() -> None:
    wide = np.random.default_rng(0).integers(0, 1 << 16, (5, 7, 3), dtype=np.uint16)
    _, png = cv2.imencode(".png", wide[..., ::-1])
    np.testing.assert_array_equal(decode_pixels(png.tobytes()), wide >> 8)
    opaque = np.dstack([wide[..., ::-1], np.full(wide.shape[:2], 0xFFFF, np.uint16)])
    _, png = cv2.imencode(".png", opaque)
    np.testing.assert_array_equal(decode_pixels(png.tobytes()), wide >> 8)


def test_floats_are_levels_rounded_and_clipped() -> None:
    levels = np.array([[-3, 0.4, 0.6], [127.5, 254.6, 1e9], [np.nan, np.inf, -np.inf]], np.float32)
    expected = np.array([[0, 0, 1], [128, 255, 255], [0, 255, 0]])
    pixels = decode_pixels(encoded(Image.fromarray(levels), "TIFF"))
    np.testing.assert_array_equal(pixels, np.repeat(expected[..., None], 3, axis=2))


def test_cmyk_is_inverted_ink() -> None:
    inks = Image.frombytes("CMYK", (2, 1), bytes([255, 0, 0, 0, 0, 0, 0, 255]))
    assert decode_pixels(encoded(inks, "TIFF")).tolist() == [[[0, 255, 255], [0, 0, 0]]]


@pytest.mark.parametrize("format_", ["GIF", "WEBP", "PNG"])
def test_an_animation_is_its_first_frame(format_: str) -> None:
    red, blue = Image.new("RGB", (6, 4), (255, 0, 0)), Image.new("RGB", (6, 4), (0, 0, 255))
    options = {"lossless": True} if format_ == "WEBP" else {}
    raw = encoded(red, format_, save_all=True, append_images=[blue], **options)
    assert (decode_pixels(raw) == (255, 0, 0)).all()


def test_a_gif_with_a_clear_colour_lies_on_white() -> None:
    image = Image.new("P", (2, 1), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    image.putpixel((0, 0), 0)
    assert decode_pixels(encoded(image, "GIF", transparency=0)).tolist() == [[[255] * 3, [10, 20, 30]]]


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
    images._simplejpeg.cache_clear()
    yield
    images._simplejpeg.cache_clear()


@pytest.mark.usefixtures("without_simplejpeg")
def test_without_simplejpeg_pillow_decodes() -> None:
    raw = encoded(natural_picture(40, 30), "JPEG")
    assert jpeg_pixels(raw, 40, 30) is None
    np.testing.assert_array_equal(decode_pixels(raw), by_pillow(raw))


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n%%Page: 1 1\nshowpage\n%%EOF\n"


@pytest.mark.parametrize("preamble", [b"", struct.pack("<IIIIIIIH", 0xC6D3D0C5, 30, len(EPS), 0, 0, 0, 0, 0xFFFF)])
def test_what_begins_as_postscript_starts_no_program(
    preamble: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in, marker = tmp_path / "gs", tmp_path / "started"
    stand_in.write_text(f"#!/bin/sh\ntouch {marker}\n")
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with within(), pytest.raises(ImageDecodeError):
        decode_rgb(preamble + EPS)
    assert image_suffix(preamble + EPS) == ""
    assert exif_json(preamble + EPS) == "{}"
    assert not marker.exists()


def test_only_one_place_opens_images() -> None:
    """And it names the formats: Pillow has others, which start programs or have had faults of their own."""
    source = Path(images.__file__).parents[2]
    calls = {
        str(path.relative_to(source))
        for path in source.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and ast.unparse(node) in ("Image.open", "PIL.Image.open")
    }
    assert calls == {"data/pool/images.py"}


@pytest.mark.parametrize("behind", [False, True], ids=["before the pixels", "behind them"])
@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt"])
def test_a_png_with_a_large_text_is_sound(kind: bytes, *, behind: bool) -> None:
    """As programs that draw pictures leave them: Pillow refuses more than 1 MB of text."""
    plain = picture(3)
    packed = zlib.compress(bytes(3 << 20))
    content = b"Comment\0" + (b"\0" if kind == b"zTXt" else b"\1\0\0\0") + packed
    chunk = len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")
    at = len(plain) - 12 if behind else 33
    encoded = plain[:at] + chunk + plain[at:]
    assert np.array_equal(decode_pixels(encoded), decode_pixels(plain))
    assert image_suffix(encoded) == "png"
