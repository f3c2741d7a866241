"""A small CLIP that is taught to see colours and to read their names, and the pairs that it is taught with."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
import open_clip
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch.nn.functional import cross_entropy

from datascaler.demo.draw import COLOURS
from datascaler.demo.shapes import fill_mask, placed_outline
from datascaler.models.build import build_clip
from datascaler.models.tokenize import tokenizer_for

ARCH = "ViT-Micro-12-48"
SIDE = 192
"""Pixels of a picture; the network sees it at a quarter."""
_SEEN = 48
CAPTIONS = tuple(COLOURS)
_SHAPES = "circle", "square", "heart"
_RADIUS = 66, 84
"""Least and greatest, in pixels."""
_SHADE = 18
"""Standard deviation of a thing's colour from the one that its caption names."""
_WRONG = 0.2
"""Part of the clean pairs that are trained with another's caption, as many are that come from the web."""
_FONT = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans-Bold.ttf"
_NAME_WIDTH = 0.72, 0.92
"""Least and greatest part of the picture's width that a written name may take."""
_LARGEST = 44
"""Pixels of the em. Words of three letters that are much larger are short and thick, and so no text to `BoxRule`."""
_LINES = 0.22, 0.5, 0.78
"""Where the middle of a written name is, in parts of the picture's height."""
_INK, _EDGE, _STROKE = (16, 16, 20), (250, 250, 246), 3
_PAIRS, _STEPS, _BATCH, _LEARNING_RATE, _LOGIT_SCALE = 3000, 1000, 64, 2e-3, 16.0


@dataclass(frozen=True, slots=True)
class Pair:
    picture: Image.Image
    caption: str
    text_only: bool
    """Whether the caption is written into a picture of another colour."""


def draw_pairs(count: int, seed: int) -> Iterator[Pair]:
    """Clean and text-only pairs in turn; no two seeds share a picture."""
    for number in range(count):
        rng = np.random.default_rng((seed, number))
        yield _text_only_pair(rng) if number % 2 else _clean_pair(rng)


def train_reader(seed: int = 0) -> open_clip.CLIP:
    """A trained network of ARCH, in eval mode. Half of its training pairs are text-only."""
    pairs = list(draw_pairs(_PAIRS, seed))
    preprocess = open_clip.image_transform(_SEEN, is_train=False)
    images = torch.stack([preprocess(pair.picture) for pair in pairs])
    labels = torch.tensor([CAPTIONS.index(pair.caption) for pair in pairs])
    rng = np.random.default_rng(seed)
    wrong = torch.tensor([not pair.text_only and rng.random() < _WRONG for pair in pairs])
    labels[wrong] = torch.from_numpy(rng.integers(len(CAPTIONS), size=int(wrong.sum())))
    captions = tokenizer_for(ARCH)(list(CAPTIONS))
    model: open_clip.CLIP = build_clip(ARCH, seed=seed).model
    # Nearly all of the weights, and six words are told apart without: their vectors stay as they were drawn.
    model.token_embedding.requires_grad_(False)
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(learning, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _LEARNING_RATE, total_steps=_STEPS, pct_start=0.1)
    threads = torch.get_num_threads()
    # Steps are too small to share, and sums come out the same however many cores there are.
    torch.set_num_threads(1)
    for _ in range(_STEPS):
        rows = torch.from_numpy(rng.integers(len(pairs), size=_BATCH))
        # Every caption is a candidate for every picture: CLIP's loss, from pictures to texts.
        cosines = model.encode_image(images[rows], normalize=True) @ model.encode_text(captions, normalize=True).T
        loss = cross_entropy(_LOGIT_SCALE * cosines, labels[rows])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    torch.set_num_threads(threads)
    model.eval()
    return model


def _clean_pair(rng: np.random.Generator) -> Pair:
    colour, _ = _two_colours(rng)
    return Pair(_thing(rng, colour), colour, text_only=False)


def _text_only_pair(rng: np.random.Generator) -> Pair:
    shown, written = _two_colours(rng)
    picture = _thing(rng, shown)
    _write(picture, written, rng)
    return Pair(picture, written, text_only=True)


def _two_colours(rng: np.random.Generator) -> tuple[str, str]:
    first, second = rng.permutation(len(COLOURS))[:2].tolist()
    return CAPTIONS[first], CAPTIONS[second]


def _thing(rng: np.random.Generator, colour: str) -> Image.Image:
    """One large shape of about that colour, on a grey ground with grain."""
    grain = rng.standard_normal((SIDE, SIDE, 1), dtype=np.float32) * 8
    ground: NDArray[np.float32] = np.full(3, rng.uniform(190, 235), np.float32) + grain
    picture = Image.fromarray(np.clip(ground, 0, 255).astype(np.uint8))
    centre = SIDE / 2 + rng.uniform(-12, 12), SIDE / 2 + rng.uniform(-12, 12)
    shape = _SHAPES[rng.integers(len(_SHAPES))]
    outline = placed_outline(shape, centre, rng.uniform(*_RADIUS), rng.uniform(-0.2, 0.2))
    red, green, blue = np.clip(np.array(COLOURS[colour]) + rng.normal(0, _SHADE, 3), 0, 255).astype(int).tolist()
    picture.paste((red, green, blue), mask=fill_mask(outline, SIDE))
    return picture


def _write(picture: Image.Image, name: str, rng: np.random.Generator) -> None:
    """Over most of the width where that does not make it too high."""
    pen = ImageDraw.Draw(picture)
    width = SIDE * rng.uniform(*_NAME_WIDTH)
    font = _font(min(_LARGEST, int(100 * width / _font(100).getlength(name))))
    left, top, right, bottom = pen.textbbox((0, 0), name, font)
    x = (SIDE - left - right) / 2 + rng.uniform(-4, 4)
    y = SIDE * float(rng.choice(_LINES)) - (top + bottom) / 2 + rng.uniform(-4, 4)
    pen.text((x, y), name, _INK, font, stroke_width=_STROKE, stroke_fill=_EDGE)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(_FONT), size)
