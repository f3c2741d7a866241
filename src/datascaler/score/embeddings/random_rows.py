"""Random rows of a pool, the same for every worker: whole shards in an order that the seed gives."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from datascaler.errors import ConfigError
from datascaler.models.device import choose_device
from datascaler.progress import progress
from datascaler.score.embeddings.source import EmbeddingSource, read_blocks, require_width
from datascaler.tools.philox import shuffled

_SHARD_ORDER, _ROW_ORDER = 1, 2
"""Purposes of random numbers."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of a pool in random order."""

    shard: NDArray[np.int64]
    """[n] places of their shards in the frozen list."""
    row: NDArray[np.int64]
    """[n] ordinals in them."""
    vectors: list[Tensor]
    """One [n, d] an array: float32 of length 1, on the device."""

    def __len__(self) -> int:
        return len(self.row)


def collect_rows(source: EmbeddingSource, wanted: int, seed: int, *, text: bool) -> Rows:
    """`wanted` rows, or all if there are fewer, of as few shards as hold them; image vectors, and text vectors too.

    Raises ConfigError for a pool without a single usable row.
    """
    shards: list[NDArray[np.int64]] = []
    rows: list[NDArray[np.int64]] = []
    parts: list[list[Tensor]] = [[] for _ in source.arrays(text=text)]
    found = 0
    with progress(wanted, "random rows", unit="row") as bar:
        for number in shuffled(len(source.shards), (seed, 0), _SHARD_ORDER).tolist():
            shard = source.shards[number]
            for block in read_blocks(source, shard, source.read_rows(shard), source.arrays(text=text)):
                width = (parts[0] or block.stored)[0].shape[1]
                require_width(source, shard, block, width)
                shards.append(np.full(len(block.rows), number))
                rows.append(block.rows)
                for vectors, own in zip(block.units(), parts, strict=True):
                    own.append(vectors)
                found += len(block.rows)
                bar.update(len(block.rows))
                if found >= wanted:
                    break
            if found >= wanted:
                break
    if not found:
        raise ConfigError(f"no row of {source.name} has an embedding: nothing to compare with")
    order = shuffled(found, (seed, 0), _ROW_ORDER)[:wanted]
    taken = torch.from_numpy(order).to(choose_device())
    return Rows(np.concatenate(shards)[order], np.concatenate(rows)[order], [_joined(own)[taken] for own in parts])


def _joined(parts: list[Tensor]) -> Tensor:
    """The parts after one another; they are let go, for together they may be a gigabyte."""
    whole = torch.cat(parts)
    parts.clear()
    return whole
