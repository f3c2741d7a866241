"""Pictures with the spectrum of photographs, made from a number."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_EDGES = 12


def natural_picture(width: int, height: int, seed: int = 0, slope: float = 1.7) -> Image.Image:
    """RGB: noise whose amplitude falls with frequency to the power of `slope`, and ellipses with hard edges.

    Photographs have a slope of about 1 to 2. Brightness varies more than colour, as theirs does.
    """
    generator = np.random.default_rng([seed, width, height])
    brightness = _noise(generator, width, height, slope)
    colours = [_noise(generator, width, height, slope + 0.3) for _ in range(3)]
    levels = 120 + 45 * brightness[..., None] + 15 * np.stack(colours, axis=-1)
    rows, columns = np.mgrid[:height, :width]
    for _ in range(_EDGES):
        centre, radii = generator.random(2), 0.02 + 0.2 * generator.random(2)
        inside = np.hypot((columns / width - centre[0]) / radii[0], (rows / height - centre[1]) / radii[1]) < 1
        levels[inside] += generator.normal(0, 30, 3)
    return Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8))


def encoded(image: Image.Image, format_: str = "PNG", **options: object) -> bytes:
    """The file that Pillow writes of an image."""
    buffer = io.BytesIO()
    image.save(buffer, format_, **options)
    return buffer.getvalue()


def _noise(generator: np.random.Generator, width: int, height: int, slope: float) -> NDArray[np.float64]:
    """[height, width], of standard deviation 1"""
    frequency = np.hypot(np.fft.rfftfreq(width), np.fft.fftfreq(height)[:, None])
    frequency[0, 0] = np.inf
    white = np.fft.rfft2(generator.standard_normal((height, width)))
    noise = np.fft.irfft2(white / frequency**slope, (height, width))
    return noise / max(float(noise.std()), 1e-9)
