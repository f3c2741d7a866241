"""Batches of a PlanDataset from loader processes that share each of them."""

from collections.abc import Iterator
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from datascaler.errors import ConfigError
from datascaler.train.loading.loader_processes import iterate_parts

if TYPE_CHECKING:
    from datascaler.train.loading.plan_dataset import PlanDataset


class PlanLoader:
    """Iterates one epoch from where the dataset stands, and moves the dataset on batch by batch.

    It has what open_clip's training loop asks of a dataloader: num_batches and num_samples of an epoch, over all
    processes.
    """

    def __init__(self, dataset: "PlanDataset", num_workers: int) -> None:
        if num_workers < 0:
            raise ConfigError(f"num_workers must not be negative, got {num_workers}")
        self.dataset = dataset
        self.num_workers = num_workers
        self.num_batches = dataset.num_batches
        self.num_samples = dataset.num_samples

    def __len__(self) -> int:
        return self.num_batches

    def set_epoch(self, epoch: int) -> None:
        self.dataset.set_epoch(epoch)

    def __iter__(self) -> Iterator[Any]:
        epoch, first = self.dataset.epoch, self.dataset.step
        make = partial(self.dataset.parts, epoch, range(first, self.num_batches))
        for step, parts in enumerate(iterate_parts(make, self.num_workers), start=first):
            self.dataset.move_to(epoch, step + 1)
            images, texts = zip(*parts, strict=True)
            joined = torch.cat(texts) if isinstance(texts[0], Tensor) else list(chain(*texts))
            yield self.dataset.form(torch.cat(images), joined)
        self.dataset.move_to(epoch + 1, 0)
