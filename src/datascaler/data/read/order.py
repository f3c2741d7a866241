"""The order of training samples: a pure function of (plan, seed, batch size), never of nodes, processes or workers.

Training draws samples 0, 1, 2, ...; draw `g` belongs to epoch `g // samples` and is draw `w` of it; it goes to stream
`w % streams`, and is that stream's next sample. The batch of a step is `batch_size` consecutive draws. So the state of
the data is one number, the samples seen so far, and an epoch holds every kept sample exactly once.

In an epoch the plan's blocks are permuted and laid end to end, and the streams own equal contiguous parts of the
result. A stream shuffles its samples inside a window: one block, or the part of one that it owns. Memory is bounded by
that, and a resumed run reads at most one block of each stream again. Copies of samples that are kept several times are
parts of their own and permuted among the blocks (`data/plan/copy_parts.py`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from datascaler.data.plan.copy_parts import CopyParts
from datascaler.data.plan.plan import Plan
from datascaler.errors import ConfigError
from datascaler.tools.philox import shuffled

MAX_STREAMS = 256
"""So many processes (ranks x loader workers) can share a run's reading before two of them must read the same block."""
BLOCKS_PER_STREAM = 16
"""The least number of blocks for a stream: a block that lies on a border between streams is read by both."""
WINDOW_MEMORY = 1 << 30
"""Bytes of kept samples that the windows of all streams may hold together, so that one process can run them all."""


class Draw(NamedTuple):
    """One training sample: where it stands in the run, and where it is to be found."""

    number: int
    """Position in the run; with the seed, the key of its augmentation."""
    epoch: int
    stream: int
    position: int
    """Position in the stream's part of the epoch."""


@dataclass(frozen=True, slots=True)
class Window:
    """Draws [first, last) of a block: its kept samples in tar order, then their copies in the order of their parts. The
    stream's positions [start, end) have them shuffled.
    """

    start: int
    block: int
    first: int
    last: int
    shuffle: NDArray[np.int64]
    """[last - first]: position start + i has the draw first + shuffle[i] of the block."""

    @property
    def end(self) -> int:
        return self.start + self.last - self.first


class Order:
    """The order of one run."""

    def __init__(
        self, block_kept: NDArray[np.uint32], seed: int, streams: int, copies: CopyParts | None = None
    ) -> None:
        """`block_kept` [b] is the number of kept samples of each block of the plan, with the copies, which are drawn
        apart if they are given.
        """
        kept = block_kept.astype(np.int64)
        self._seed = seed
        self.samples = int(kept.sum())
        """The size of an epoch; repeats count."""
        blocks = np.flatnonzero(block_kept).astype(np.uint32)
        firsts = np.zeros(len(blocks), np.uint32)
        # What is permuted: whole blocks, then the parts that hold copies.
        if copies is None:
            self._blocks, self._firsts, self._sizes = blocks, firsts, block_kept[blocks]
        else:
            np.subtract.at(kept, copies.block, copies.size)
            self._blocks = np.concatenate([blocks, copies.block])
            self._firsts = np.concatenate([firsts, copies.first])
            self._sizes = np.concatenate([kept[blocks].astype(np.uint32), copies.size])
        if self.samples == 0:
            raise ConfigError("the subset matches no sample of this pool: nothing to train on")
        self.streams = streams
        # The first `extra` streams own one sample more than the others.
        self._size, self._extra = divmod(self.samples, streams)

    @classmethod
    def of(cls, plan: Plan, seed: int, batch_size: int) -> "Order":
        block_kept = plan.arrays["block_kept"]
        streams = streams_for(int(np.count_nonzero(block_kept)), plan.kept_bytes, batch_size)
        return cls(block_kept, seed, streams, plan.copies)

    def draw(self, number: int) -> Draw:
        epoch, within = divmod(number, self.samples)
        position, stream = divmod(within, self.streams)
        return Draw(number=number, epoch=epoch, stream=stream, position=position)

    def share(self, first: int, count: int, index: int, of: int) -> list[Draw]:
        """Part `index` of `of` of the draws [first, first + count), as equal as can be.

        The draws are ordered by stream before they are cut, so that a part reads as few streams as possible, and the
        same ones in every step if the streams divide the batch.
        """
        numbers = np.arange(first, first + count)
        epochs, within = np.divmod(numbers, self.samples)
        positions, streams = np.divmod(within, self.streams)
        mine = np.lexsort((numbers, streams))[count * index // of : count * (index + 1) // of]
        columns = (each[mine].tolist() for each in (numbers, epochs, streams, positions))
        return [Draw(*values) for values in zip(*columns, strict=True)]

    def stream_size(self, stream: int) -> int:
        return self._size + (stream < self._extra)

    def windows(self, epoch: int, stream: int, position: int = 0) -> Iterator[Window]:
        """The windows of a stream in an epoch, from the one that holds `position` on."""
        for place in self.places(epoch, stream, position):
            start, block, first, last = self.span(epoch, stream, place)
            # The permutation of the epoch's parts has purpose 0, so windows begin at 1.
            purpose = 1 + self._first(stream) + start
            yield Window(start, block, first, last, shuffled(last - first, (self._seed, epoch), purpose))

    def places(self, epoch: int, stream: int, position: int = 0) -> range:
        """Places in the epoch's permutation of the windows of a stream, from the one that holds `position` on."""
        _, ends = self._epoch(epoch)
        at, last = self._first(stream) + position, self._first(stream + 1)
        if at >= last:
            return range(0)
        first_place, last_place = np.searchsorted(ends, [at, last - 1], side="right").tolist()
        return range(first_place, last_place + 1)

    def span(self, epoch: int, stream: int, place: int) -> tuple[int, int, int, int]:
        """A stream's window at a place of the permutation: its first position, and block, first and last draw."""
        permutation, ends = self._epoch(epoch)
        part, part_end, first = int(permutation[place]), int(ends[place]), self._first(stream)
        part_start = part_end - int(self._sizes[part])
        start, stop = max(part_start, first), min(part_end, self._first(stream + 1))
        shift = int(self._firsts[part]) - part_start
        return start - first, int(self._blocks[part]), start + shift, stop + shift

    def _first(self, stream: int) -> int:
        """Where what a stream owns begins in the parts laid end to end."""
        return stream * self._size + min(stream, self._extra)

    @lru_cache(maxsize=2)  # noqa: B019  an Order lives as long as its run
    def _epoch(self, epoch: int) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        """The permuted parts [p] and the running totals of their samples [p]."""
        permutation = shuffled(len(self._blocks), (self._seed, epoch)).astype(np.uint32)
        return permutation, np.cumsum(self._sizes[permutation], dtype=np.int64)


def streams_for(full_blocks: int, kept_bytes: float, batch_size: int) -> int:
    """The largest number of streams; a divisor of the batch where one is near, so that processes keep theirs."""
    by_memory = int(WINDOW_MEMORY * full_blocks / max(1.0, kept_bytes))
    limit = max(1, min(MAX_STREAMS, full_blocks // BLOCKS_PER_STREAM, by_memory, batch_size))
    divisor = next(each for each in range(limit, 0, -1) if batch_size % each == 0)
    return divisor if 2 * divisor >= limit else limit
