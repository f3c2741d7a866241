"""Image-text pairs that a small CLIP can learn, and not solve within a short run: what a learning rate is tuned on."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from datascaler import storage
from datascaler.data.make.write_pool import write_pool
from datascaler.data.pool.pool_rows import PoolSample

ATTRIBUTES, VALUES, SIDE, CELLS = 4, 12, 48, 16
_SHARD = 4096
_GREY, _LEVELS = 128, 18


def write_task(folder: Path, samples: int, noise: float, wrong: float, seed: int = 0) -> str:
    """A pool in which an image is the sum of a fixed random picture for each of four values, and noise; the caption
    names the values, but for a part `wrong` of them, in whose place any value may stand: no model gets around those,
    so that longer training does not bring the loss down to nothing. `noise` is a standard deviation, that of a picture
    being 1. Returns the pool's data-dir.
    """
    done = folder / f"complete-{samples}-{noise:g}-{wrong:g}"
    if not done.exists():
        write_pool(str(folder), _pairs(samples, noise, wrong, seed), _SHARD)
        storage.publish_text(str(done), "")
    return str(folder)


def _pairs(samples: int, noise: float, wrong: float, seed: int) -> Iterator[PoolSample]:
    draw = np.random.default_rng(seed)
    pictures = draw.normal(size=(ATTRIBUTES, VALUES, CELLS, CELLS, 3))
    for number in range(samples):
        values = draw.integers(VALUES, size=ATTRIBUTES)
        cells = pictures[np.arange(ATTRIBUTES), values].sum(0) + noise * draw.normal(size=(CELLS, CELLS, 3))
        levels = np.clip(_GREY + _LEVELS * cells, 0, 255).astype(np.uint8)
        file = io.BytesIO()
        Image.fromarray(levels).resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(file, "jpeg", quality=95)
        told = np.where(draw.random(ATTRIBUTES) < wrong, draw.integers(VALUES, size=ATTRIBUTES), values)
        # A letter for the attribute and one for its value: a token each.
        caption = " ".join(f"{'abcd'[place]} {'efghijklmnop'[value]}" for place, value in enumerate(told))
        yield PoolSample(image=file.getvalue(), suffix="jpg", caption=caption, url=str(number))
