"""The order of training samples: a pure function of (plan, seed), never of nodes, processes or loader workers.

Training draws samples 0, 1, 2, ...; draw `g` belongs to epoch `g // epoch_size`, to stream `g % streams`, and is that
stream's next sample. The batch of a step is `batch_size` consecutive draws. So the state of the data is one number,
the samples seen so far, and it stays valid when the batch or the number of processes changes.

In an epoch the plan's blocks are permuted and laid end to end, and the streams own equal contiguous parts of the
result. A stream shuffles its samples inside windows of a few blocks, which bounds what must be in memory.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from datascaler.data.randomness import shuffled
from datascaler.errors import ConfigError

MAX_STREAMS = 128
WINDOW_BLOCKS = 2
"""Whole blocks that a window spans; also the fewest blocks worth a stream of their own."""


@dataclass(frozen=True, slots=True)
class Draw:
    """One training sample: where it stands in the run, and where it is to be found."""

    number: int
    """Position in the run; with the seed, the key of its augmentation."""
    epoch: int
    stream: int
    position: int
    """Position in the stream's part of the epoch."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Kept samples [first, last) of a block, counted in tar order."""

    block: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Window:
    """Consecutive segments of a stream, holding its positions [start, start + size) in shuffled order."""

    start: int
    segments: tuple[Segment, ...]
    shuffle: NDArray[np.int64]
    """[size]: the sample at position start + i is the window's sample number shuffle[i] in segment order."""


class Order:
    """The order of one run. `block_kept` [b] is the number of kept samples of each block of the plan."""

    def __init__(self, block_kept: NDArray[np.uint32], seed: int) -> None:
        self._blocks = np.flatnonzero(block_kept)
        self._kept = block_kept[self._blocks].astype(np.int64)
        self._seed = seed
        self.samples = int(self._kept.sum())
        if self.samples == 0:
            raise ConfigError("the subset matches no sample of this pool: nothing to train on")
        self.streams = int(np.clip(len(self._blocks) // WINDOW_BLOCKS, 1, MAX_STREAMS))
        self.stream_size = self.samples // self.streams
        self.epoch_size = self.stream_size * self.streams
        """Up to `streams - 1` samples are left out of each epoch, others each time."""

    def draw(self, number: int) -> Draw:
        epoch, within = divmod(number, self.epoch_size)
        position, stream = divmod(within, self.streams)
        return Draw(number=number, epoch=epoch, stream=stream, position=position)

    def share(self, first: int, count: int, index: int, of: int) -> list[Draw]:
        """Part `index` of `of` of the draws [first, first + count), as equal as can be.

        The draws are ordered by stream before they are cut, so that a part reads as few streams as possible.
        """
        draws = sorted(map(self.draw, range(first, first + count)), key=lambda draw: (draw.stream, draw.number))
        return draws[count * index // of : count * (index + 1) // of]

    def windows(self, epoch: int, stream: int, position: int = 0) -> Iterator[Window]:
        """The windows of a stream in an epoch, from the one that holds `position` on."""
        permutation, ends = self._epoch(epoch)
        first, last = stream * self.stream_size, (stream + 1) * self.stream_size
        at = first
        while at < last:
            index = int(np.searchsorted(ends, at, side="right"))
            window_end = min(int(ends[min(index + WINDOW_BLOCKS, len(ends)) - 1]), last)
            if window_end - first > position:
                yield self._window(epoch, permutation, ends, (at, window_end), first)
            at = window_end

    @lru_cache(maxsize=2)  # noqa: B019  an Order lives as long as its run
    def _epoch(self, epoch: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The permuted blocks [b] and the running totals of their kept samples [b]."""
        permutation = shuffled(len(self._blocks), (self._seed, epoch))
        return permutation, np.cumsum(self._kept[permutation])

    def _window(
        self, epoch: int, permutation: NDArray[np.int64], ends: NDArray[np.int64], span: tuple[int, int], first: int
    ) -> Window:
        segments = []
        at, window_end = span
        while at < window_end:
            index = int(np.searchsorted(ends, at, side="right"))
            block_first = int(ends[index] - self._kept[permutation[index]])
            stop = min(int(ends[index]), window_end)
            segments.append(Segment(int(self._blocks[permutation[index]]), at - block_first, stop - block_first))
            at = stop
        # The blocks of the epoch have purpose 0, so windows begin at 1.
        shuffle = shuffled(span[1] - span[0], (self._seed, epoch), purpose=1 + span[0])
        return Window(start=span[0] - first, segments=tuple(segments), shuffle=shuffle)
