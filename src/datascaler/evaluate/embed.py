"""Samples -> unit vectors: images are decoded in threads while the model works on the batch before."""

from collections import deque
from collections.abc import Hashable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor

from datascaler.data.pool.images import decode_evaluation_image
from datascaler.errors import DatascalerError, ImageDecodeError
from datascaler.evaluate.evalset import EvalSample
from datascaler.models.decode_threads import decode_threads
from datascaler.models.loaded import LoadedClip
from datascaler.progress import progress

TEXT_BATCH = 256


@dataclass(frozen=True, slots=True)
class Embedded:
    """A batch of samples in tar order, and the vectors [n, d] of those whose image decodes."""

    samples: list[EvalSample]
    decoded: list[bool]
    features: Tensor


def embed_samples(
    model: LoadedClip, samples: Iterable[EvalSample], *, batch_size: int, num_workers: int
) -> Iterator[Embedded]:
    ready = _prepared(model, samples, num_workers, ahead=2 * batch_size)
    while batch := list(islice(ready, batch_size)):
        images = [image for _, image in batch if image is not None]
        features = model.embed_images(torch.stack(images)) if images else torch.empty(0, 0, device=model.device)
        require_finite(features, "image")
        yield Embedded([sample for sample, _ in batch], [image is not None for _, image in batch], features)


def embed_prompts(model: LoadedClip, prompts: Sequence[str]) -> Iterator[Tensor]:
    """Batches of unit vectors [n, d] in the order of the prompts."""
    with progress(len(prompts), "prompts", unit="text") as bar:
        for start in range(0, len(prompts), TEXT_BATCH):
            batch = prompts[start : start + TEXT_BATCH]
            features = model.embed_texts(model.tokenize(batch))
            require_finite(features, "text")
            bar.update(len(batch))
            yield features


def first_places(items: Iterable[Hashable]) -> list[int]:
    """Return for each item the place of the first that is equal to it.

    What is equal is computed once and its scores are copied: in another batch, or another column of a product, rounding
    differs, and would decide what is a tie.
    """
    first: dict[Hashable, int] = {}
    return [first.setdefault(item, place) for place, item in enumerate(items)]


def require_finite(features: Tensor, what: str) -> None:
    if not bool(torch.isfinite(features).all()):
        raise DatascalerError(f"the model's {what} embeddings are not finite: it diverged, or its weights are damaged")


def _prepared(
    model: LoadedClip, samples: Iterable[EvalSample], num_workers: int, ahead: int
) -> Iterator[tuple[EvalSample, Tensor | None]]:
    """Samples in order with their image tensors; at most `ahead` are in memory besides those taken."""
    waiting: deque[tuple[EvalSample, Future[Tensor | None]]] = deque()
    with decode_threads(num_workers) as pool:
        for sample in samples:
            waiting.append((sample, pool.submit(_prepare, model, sample.image)))
            if len(waiting) > ahead:
                first, image = waiting.popleft()
                yield first, image.result()
        while waiting:
            first, image = waiting.popleft()
            yield first, image.result()


def _prepare(model: LoadedClip, encoded: bytes) -> Tensor | None:
    """None for an image that does not decode: the caller counts it."""
    try:
        return model.preprocess(decode_evaluation_image(encoded))
    except ImageDecodeError:
        return None
