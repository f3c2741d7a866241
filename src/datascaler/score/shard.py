"""One shard -> its rows and scores. Batches never cross shards, so a table depends on nothing but its shard."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, Future
from itertools import islice

import torch
from torch import Tensor

from datascaler.data.images import ImageDecodeError, decode_rgb
from datascaler.data.samples import BAD_IMAGE, NOT_FINITE, OK, Sample
from datascaler.models.loaded import LoadedClip

_BATCHES_AHEAD = 2


def score_samples(
    samples: Iterable[Sample], clip: LoadedClip, batch_size: int, executor: Executor
) -> Iterator[tuple[list[Sample], list[float]]]:
    """Batches of rows, in order, with one score each: the cosine of image and caption, NaN where status is not ok.

    The next batches are read, decoded and preprocessed while the model works on the current one.
    """
    nan = float("nan")
    for batch, images in _prepared(samples, clip, batch_size, executor):
        good = [row for row, image in enumerate(images) if image is not None]
        scores = [nan] * len(batch)
        if good:
            pixels = torch.stack([image for image in images if image is not None])
            captions = [batch[row].caption for row in good]
            for row, cosine in zip(good, _cosines(clip, pixels, captions), strict=True):
                scores[row] = cosine
                if not -2 < cosine < 2:
                    batch[row].status, batch[row].detail, scores[row] = NOT_FINITE, str(cosine), nan
        yield batch, scores


def _cosines(clip: LoadedClip, pixels: Tensor, captions: list[str]) -> list[float]:
    """Plain cosine: no factor 2.5, no clamp, no logit scale (those belong to the CLIPScore captioning metric)."""
    image, text = clip.embed_images(pixels), clip.embed_texts(clip.tokenize(captions))
    return list((image * text).sum(dim=-1).tolist())


def _prepared(
    samples: Iterable[Sample], clip: LoadedClip, batch_size: int, executor: Executor
) -> Iterator[tuple[list[Sample], list[Tensor | None]]]:
    waiting: deque[tuple[list[Sample], list[Future[Tensor | None]]]] = deque()
    rows = iter(samples)
    while True:
        batch = list(islice(rows, batch_size))
        if batch:
            waiting.append((batch, [executor.submit(_prepare, sample, clip) for sample in batch]))
        if not waiting:
            return
        if len(waiting) > _BATCHES_AHEAD or not batch:
            ready, futures = waiting.popleft()
            yield ready, [future.result() for future in futures]


def _prepare(sample: Sample, clip: LoadedClip) -> Tensor | None:
    """The preprocessed image, or None with the reason in the row. The encoded bytes are let go."""
    encoded, sample.image = sample.image, b""
    if sample.status != OK:
        return None
    try:
        return clip.preprocess(decode_rgb(encoded))
    except ImageDecodeError as error:
        sample.status, sample.detail = BAD_IMAGE, str(error)
        return None
