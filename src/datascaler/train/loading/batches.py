"""Steps -> batches of tensors: the loader side of training."""

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from datascaler import storage
from datascaler.data.pool.samples import Sample
from datascaler.models.tokenize import Tokenize, tokenizer_for
from datascaler.spec.train import Decoder, StorageClient
from datascaler.train.loading.augment import decode_crop
from datascaler.train.loading.loader_processes import iterate_parts
from datascaler.train.loading.sample_source import Source, first_decoded


@dataclass(slots=True)
class Batch:
    """What one process trains on in one step."""

    images: Tensor
    """uint8 [n, 3, side, side]"""
    tokens: Tensor
    """int64 [n, context_length]"""
    faults: list[str]
    """Why draws were replaced, one for each that was."""

    @property
    def substituted(self) -> int:
        """Draws whose sample could not be used, so that another stands in."""
        return len(self.faults)

    def pin_memory(self) -> "Batch":
        return Batch(self.images.pin_memory(), self.tokens.pin_memory(), self.faults)


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchSource:
    """All that a loader worker needs to make its part of every batch; plain values, so that it can be spawned."""

    samples: Source
    arch: str
    image_side: int
    decode: Decoder
    storage_client: StorageClient
    seed: int
    batch_size: int
    first_draw: int
    steps: int
    rank: int
    world: int

    def parts(self, worker: int, workers: int) -> Iterator[Batch]:
        """The worker's part of the process's batch of every step."""
        storage.use_client(self.storage_client)
        end = self.first_draw + self.steps * self.batch_size
        feed = self.samples.open(seed=self.seed, batch_size=self.batch_size, end=end)
        tokenize = tokenizer_for(self.arch)
        index, of = self.rank * workers + worker, self.world * workers
        try:
            for first in range(self.first_draw, end, self.batch_size):
                yield self._batch(feed.part(first, self.batch_size, index, of), tokenize)
        finally:
            feed.close()

    def _batch(self, part: Iterator[tuple[int, Iterator[Sample]]], tokenize: Tokenize) -> Batch:
        images, captions, faults = [], [], []
        for draw, candidates in part:
            decode = partial(decode_crop, side=self.image_side, seed=self.seed, draw=draw, how=self.decode)
            image, caption, fault = first_decoded(candidates, decode)
            images.append(image)
            captions.append(caption)
            if fault:
                faults.append(fault)
        side = self.image_side
        stacked = torch.stack(images) if images else torch.empty((0, 3, side, side), dtype=torch.uint8)
        return Batch(stacked, tokenize(captions), faults)


def iterate_batches(source: BatchSource, num_workers: int) -> Generator[Batch]:
    """The process's batch of every step. With workers, each makes a part of every batch."""
    for parts in iterate_parts(source.parts, num_workers):
        yield parts[0] if len(parts) == 1 else _join(parts)


def _join(parts: list[Batch]) -> Batch:
    return Batch(
        torch.cat([part.images for part in parts]),
        torch.cat([part.tokens for part in parts]),
        [fault for part in parts for fault in part.faults],
    )
