"""Samples of a shard -> batches of scored rows. Batches never cross shards: a table depends on nothing but its shard.

What is done to a batch is spread over three places: decode workers, the device, and the thread that reads results. The
device has work while the results of the batch before are taken.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from datascaler.data.pool.samples import NOT_FINITE, OK, Sample
from datascaler.models.device import Arriving, to_host
from datascaler.models.loaded import LoadedClip
from datascaler.score.pipeline.decoders import Decoders, result_of
from datascaler.score.pipeline.image_edit import SCORE
from datascaler.score.pipeline.prepare_samples import Prepared, SampleValues

_BATCHES_AHEAD = 2

Vectors = tuple[NDArray[np.float16], NDArray[np.float16]]
"""Unit vectors of image and text, [rows, d] each; zeros in rows that the network did not see."""


@dataclass(frozen=True, slots=True)
class ScoredBatch:
    """Rows in tar order. A score is NaN where the status is not ok."""

    samples: list[Sample]
    scores: list[float]
    values: list[SampleValues]
    vectors: Vectors | None


@dataclass(frozen=True, slots=True)
class StartedBatch:
    """A batch that may still be in the making on the device."""

    parts: list[Prepared]
    results: Arriving | None
    """Float32 [n] cosines of the rows that the model sees and, where kept, float16 [n, d] of image and of text."""


def batches_of(
    samples: Iterable[Sample], notes: Sequence[Any] | None, batch_size: int, workers: Decoders
) -> Iterator[list["Future[Prepared]"]]:
    """The samples, cut into batches and handed to decode workers, each with its note: notes are in their order."""
    rows, first = iter(samples), 0
    while batch := list(islice(rows, batch_size)):
        chunks = [slice(start, start + workers.chunk) for start in range(0, len(batch), workers.chunk)]
        own = None if notes is None else notes[first : first + len(batch)]
        yield [workers.prepare(batch[chunk], None if own is None else own[chunk]) for chunk in chunks]
        first += len(batch)


def start_batch(clip: LoadedClip | None, parts: list[Prepared], *, keep_vectors: bool = False) -> StartedBatch:
    """Hand a batch to the network; on an accelerator this returns before it is through."""
    seen = [part for part in parts if part.images is not None]
    if clip is None or not seen:
        return StartedBatch(parts, None)
    pinned = clip.device.type == "cuda"
    images = clip.embed_prepared(_joined([part.images for part in seen if part.images is not None], pinned))
    texts = clip.embed_texts(torch.cat([part.tokens for part in seen if part.tokens is not None]))
    # Plain cosine: no factor 2.5, no clamp, no logit scale, which belong to the CLIPScore captioning metric.
    cosines = (images * texts).sum(dim=-1)
    vectors = [images.to(torch.float16), texts.to(torch.float16)] if keep_vectors else []
    return StartedBatch(parts, to_host([cosines, *vectors]))


def finish_batch(batch: StartedBatch) -> ScoredBatch:
    """Wait for the network, and give every row its score or the reason why it has none."""
    samples = [sample for part in batch.parts for sample in part.samples]
    values = [found for part in batch.parts for found in part.values]
    seen = [start + at for start, part in zip(_starts(batch.parts), batch.parts, strict=True) for at in part.seen]
    scores = [float(found.get(SCORE, "nan")) for found in values]
    cosines, *features = batch.results.wait() if batch.results else (torch.empty(0),)
    for row, cosine in zip(seen, cosines.tolist(), strict=True):
        scores[row] = cosine
    for row, (sample, score) in enumerate(zip(samples, scores, strict=True)):
        if sample.status != OK:
            scores[row] = float("nan")
        elif not -2 < score < 2:
            sample.status, sample.detail, scores[row] = NOT_FINITE, str(score), float("nan")
    vectors = None
    if features:
        good = np.array([samples[row].status == OK for row in seen])
        image, text = (_spread(each.numpy(), seen, good, len(samples)) for each in features)
        vectors = image, text
    return ScoredBatch(samples, scores, values, vectors)


def score_samples(
    samples: Iterable[Sample],
    clip: LoadedClip | None,
    batch_size: int,
    workers: Decoders,
    notes: Sequence[Any] | None = None,
) -> Iterator[tuple[list[Sample], list[float]]]:
    """Batches of rows, in order, with one score each, for a few samples that need no pipeline of their own."""
    waiting: deque[list[Future[Prepared]]] = deque()
    batches = batches_of(samples, notes, batch_size, workers)
    while True:
        waiting.extend(islice(batches, _BATCHES_AHEAD + 1 - len(waiting)))
        if not waiting:
            return
        parts = [result_of(part) for part in waiting.popleft()]
        with workers.while_paused():
            scored = finish_batch(start_batch(clip, parts))
        yield scored.samples, scored.scores


def _joined(parts: list[Tensor], pinned: bool) -> Tensor:
    if not pinned:
        return torch.cat(parts)
    size = (sum(len(part) for part in parts), *parts[0].shape[1:])
    return torch.cat(parts, out=torch.empty(size, dtype=parts[0].dtype, pin_memory=True))


def _starts(parts: Sequence[Prepared]) -> list[int]:
    return [sum(len(part.samples) for part in parts[:number]) for number in range(len(parts))]


def _spread(features: NDArray[np.float16], seen: list[int], good: NDArray[np.bool_], rows: int) -> NDArray[np.float16]:
    """[rows, d] of [len(seen), d]"""
    spread = np.zeros((rows, features.shape[1]), np.float16)
    spread[np.array(seen)[good]] = features[good]
    return spread
