"""Every mode of Pillow as RGB on white, against pixels by hand and against img2dataset's own steps."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from datascaler.data.pool.images import decode_pixels
from tests.natural import encoded, natural_picture

WIDE = np.array([[0, 255, 256], [0x1234, 0x8000, 0xFFFF]])
HIGH_BYTES = np.array([[0, 0, 1], [0x12, 0x80, 0xFF]])


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
