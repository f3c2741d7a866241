"""Steps -> batches of tensors: the loader side of training."""

import multiprocessing
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from datascaler.data.images import ImageDecodeError, decode_rgb
from datascaler.data.order import Draw, Order
from datascaler.data.plan import match_shards, open_plan
from datascaler.data.pool import Shard
from datascaler.data.reader import Reader
from datascaler.errors import BadInputError, DatascalerError
from datascaler.models.tokenize import Tokenize, tokenizer_for
from datascaler.train.augment import random_crop


@dataclass(slots=True)
class Batch:
    """What one process trains on in one step."""

    images: Tensor
    """uint8 [n, 3, side, side]"""
    tokens: Tensor
    """int64 [n, context_length]"""
    substituted: int
    """Samples that did not decode and were replaced by the next of their window."""

    def pin_memory(self) -> "Batch":
        return Batch(self.images.pin_memory(), self.tokens.pin_memory(), self.substituted)


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchSource:
    """All that a loader worker needs to make its part of every batch; plain values, so that it can be spawned."""

    plan_path: Path
    shards: list[Shard]
    arch: str
    image_side: int
    seed: int
    batch_size: int
    first_draw: int
    steps: int
    rank: int
    world: int


class _Parts(IterableDataset["Batch | DatascalerError"]):
    """Yields one part of the process's batch for every step.

    An error is the last item: torch would raise it in the training process with a traceback for a message.
    """

    def __init__(self, source: BatchSource) -> None:
        self._source = source

    def __iter__(self) -> Iterator[Batch | DatascalerError]:
        try:
            yield from self._parts()
        except DatascalerError as error:
            yield error

    def _parts(self) -> Iterator[Batch]:
        source, worker = self._source, get_worker_info()
        worker_index, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        plan = open_plan(source.plan_path)
        order = Order(plan.arrays["block_kept"], source.seed)
        reader = Reader(plan, match_shards(plan, source.shards), order)
        tokenize = tokenizer_for(source.arch)
        try:
            for step in range(source.steps):
                first = source.first_draw + step * source.batch_size
                mine = source.rank * workers + worker_index
                draws = order.share(first, source.batch_size, mine, source.world * workers)
                yield _part(draws, reader, tokenize, source)
        finally:
            reader.close()


def iterate_batches(source: BatchSource, num_workers: int) -> Iterator[Batch]:
    """The process's batch of every step. With workers, each makes a part of every batch, in the canonical order."""
    parts: list[Batch] = []
    for part in _started(source, num_workers):
        if isinstance(part, DatascalerError):
            raise part
        parts.append(part)
        if len(parts) == max(1, num_workers):
            yield parts[0] if len(parts) == 1 else _join(parts)
            parts = []


def _started(source: BatchSource, num_workers: int) -> Iterator[Batch | DatascalerError]:
    pinned = torch.cuda.is_available()
    if num_workers == 0:
        return iter(DataLoader(_Parts(source), batch_size=None, pin_memory=pinned))
    # Object store clients do not survive a plain fork; a fork server that has imported torch once starts workers fast.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    loader = DataLoader(
        _Parts(source), batch_size=None, pin_memory=pinned, num_workers=num_workers, multiprocessing_context=context
    )
    with _sigterm_held_back():
        return iter(loader)


@contextmanager
def _sigterm_held_back() -> Iterator[None]:
    """Processes started inside never get SIGTERM, and this one gets it afterwards.

    torchrun and job managers signal all processes at once, and the step in hand still needs its loader.
    """
    # Some versions of Python start this helper on demand and then let SIGTERM through again.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _join(parts: list[Batch]) -> Batch:
    return Batch(
        torch.cat([part.images for part in parts]),
        torch.cat([part.tokens for part in parts]),
        sum(part.substituted for part in parts),
    )


def _part(draws: list[Draw], reader: Reader, tokenize: Tokenize, source: BatchSource) -> Batch:
    images, captions, substituted = [], [], 0
    for draw in draws:
        image, caption, tried = _decode(draw, reader, source)
        images.append(image)
        captions.append(caption)
        substituted += tried
    side = source.image_side
    stacked = torch.stack(images) if images else torch.empty((0, 3, side, side), dtype=torch.uint8)
    return Batch(stacked, tokenize(captions), substituted)


def _decode(draw: Draw, reader: Reader, source: BatchSource) -> tuple[Tensor, str, int]:
    """A bad image never shifts the order: the next sample of the window takes its place, in every run alike."""
    tried = 0
    for sample in reader.candidates(draw):
        try:
            image = decode_rgb(sample.image)
        except ImageDecodeError:
            tried += 1
            continue
        return random_crop(image, source.image_side, source.seed, draw.number), sample.caption, tried
    raise BadInputError(f"none of the {tried} images around draw {draw.number} can be decoded")
