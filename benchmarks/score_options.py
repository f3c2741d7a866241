"""What options of scoring save, and what they change: the fast decoder, and an image tower in 16 bits."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.processor import has_bf16_units
from benchmarks.read_pool import SIZES
from benchmarks.score_pool import captions_of
from datascaler.models.load import load_clip
from datascaler.models.loaded import LoadedClip
from datascaler.score.pipeline.prepare_samples import prepare_encoded
from datascaler.score.score_images import score_images
from tests.natural import encoded, natural_picture
from tests.planted_text import PHOTOGRAPHS, photograph

PICTURES = 500
"""With the spectrum of photographs; scikit-image's photographs come on top."""
ROWS, KEPT = 2_000, 0.3
"""Pairs that are scored in both precisions, and the part of them that is kept."""
BATCH = 64
TURNS = 7


def fast_decoder(arch: str, weights: Path) -> dict[str, float]:
    """Its CPU for an image in one thread, and the largest difference of a score."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    clip = load_clip(arch, str(weights))
    fast, images = clip.decoding("fast"), _jpegs()
    ways: list[Callable[[], Any]] = [
        lambda: [prepare_encoded(clip.transform, image) for image in images[:BATCH]],
        lambda: [prepare_encoded(fast.transform, image) for image in images[:BATCH]],
    ]
    ratio = _median_ratio(ways, time.process_time)
    torch.set_num_threads(threads)
    captions = captions_of(len(images))
    scores = [score_images(images, captions, model=each) for each in (clip, fast)]
    return {
        "decode_fast_vs_default": ratio,
        "decode_fast_difference": float(np.abs(scores[0] - scores[1]).max()),
        "decode_fast_pictures": len(images),
    }


def half_precision(arch: str, weights: Path) -> dict[str, float]:
    """How many times the image tower's throughput, and the part of the kept rows that are others; nothing on a CPU
    without bf16 matrix units.
    """
    if not has_bf16_units():
        return {}
    clips = [load_clip(arch, str(weights)), load_clip(arch, str(weights)).computing_in("bf16")]
    images = _jpegs()[: ROWS // 4]
    prepared = torch.stack([prepare_encoded(clips[0].transform, image) for image in images])
    ratio = _median_ratio([_forward(clip, prepared[:BATCH]) for clip in clips], time.perf_counter)
    kept = [_kept(clip, prepared) for clip in clips]
    return {
        "bf16_vs_fp32": ratio,
        "bf16_kept_difference": 1 - len(set(kept[0].tolist()) & set(kept[1].tolist())) / len(kept[0]),
        "bf16_rows": ROWS,
    }


def _jpegs() -> list[bytes]:
    drawn = (natural_picture(*SIZES[seed % len(SIZES)], seed=seed, slope=1.9) for seed in range(PICTURES))
    return [encoded(each, "JPEG", quality=95) for each in (*drawn, *map(photograph, PHOTOGRAPHS))]


def _forward(clip: LoadedClip, batch: torch.Tensor) -> Callable[[], Any]:
    return lambda: clip.embed_prepared(batch)


def _kept(clip: LoadedClip, prepared: torch.Tensor) -> NDArray[np.intp]:
    """The rows of the best part: every picture with four captions."""
    vectors = torch.cat(
        [clip.embed_prepared(part) for part in torch.tensor_split(prepared, tuple(range(BATCH, len(prepared), BATCH)))]
    ).repeat(4, 1)[:ROWS]
    texts = torch.cat([clip.embed_texts(clip.tokenize(part)) for part in _parts(captions_of(ROWS))])
    return np.argsort(-(vectors * texts).sum(dim=-1).numpy(), kind="stable")[: round(KEPT * ROWS)]


def _parts(captions: Sequence[str]) -> list[Sequence[str]]:
    return [captions[start : start + BATCH] for start in range(0, len(captions), BATCH)]


def _median_ratio(ways: Sequence[Callable[[], Any]], clock: Callable[[], float]) -> float:
    """What the first takes over what the second does, in the median of turns."""
    ratios = []
    for _ in range(TURNS + 1):
        took = []
        for way in ways:
            began = clock()
            way()
            took.append(clock() - began)
        ratios.append(took[0] / took[1])
    return round(median(ratios[1:]), 3)
