"""Samples without a plan: every process reads the whole pool as a stream, and keeps what the subset names.

An epoch is one pass, or several where the subset repeats uids: copies of one pass would meet in a batch. So there
are as many passes as copies of a sample, and one with fewer is in some of them, evenly spread. The shards of a pass are
permuted by (seed, epoch); their samples come in tar order, are filtered by uid and pass through a shuffle buffer.

All of that is a function of the pool, the subset and the seed, so every process sees the same draws and takes its own,
and a batch does not depend on how many processes there are. The price is that each reads everything: this is for one
node, and for pools that are not worth an index.

An epoch holds what an epoch by a plan does. Where the pool has a uid twice, a plan takes the first in the order of the
pool; a stream takes the first that comes, which may be another one in the next epoch.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datascaler import storage
from datascaler.data.pool.samples import Sample
from datascaler.data.pool.shards import Shard
from datascaler.data.pool.uids import UID_DTYPE
from datascaler.data.subset.uid_filter import UidFilter
from datascaler.errors import ConfigError
from datascaler.tools.philox import hashed, shuffled, uniforms
from datascaler.train.loading.stream_stand_ins import Drawn, EpochDraws
from datascaler.train.loading.tar_stream import usable_samples

SHUFFLE_SAMPLES = 2048
"""Samples in the shuffle buffer of each process: 70 MB at DataComp's size."""
MOST_PASSES = 64
"""The most passes over the pool an epoch. Only a sample that is repeated more often comes several times in a pass."""
_LOOKUP_SAMPLES = 128
_PASS = 1 << 48
"""Purposes of random numbers for each pass."""
_PHASES = 1 << 60
"""The purpose of those that belong to uids."""
_ODD = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, kw_only=True, slots=True)
class Unplanned:
    """A pool and a subset, to be opened in a loader worker."""

    shards: Sequence[Shard]
    filter_folder: Path | None
    """The folder that `save_filter` wrote; None keeps every sample."""

    def open(self, *, seed: int, **_: object) -> "UnplannedFeed":
        # As `Planned.open` does, and for the same reason.
        storage.assume_answers(self.shards[0].url)
        return UnplannedFeed(self, seed)


class UnplannedFeed:
    """Gives the samples of draws, which must come in rising order. A first draw above 0 costs the reading up to it."""

    def __init__(self, source: Unplanned, seed: int) -> None:
        self._shards, self._seed = source.shards, seed
        self._filter = UidFilter(source.filter_folder) if source.filter_folder else None
        self._passes = passes_of(self._filter.most) if self._filter else 1
        self._draws: EpochDraws | None = None
        self._epoch = 0
        self._next = 0
        """The draw that comes next."""

    def part(self, first: int, size: int, index: int, of: int) -> Iterator[tuple[int, Iterator[Sample]]]:
        """Part `index` of `of` of the draws [first, first + size): each with its sample and the stand-ins for it."""
        for number in range(first, first + size):
            if number % of == index:
                yield number, self._candidates(number)

    def close(self) -> None:
        self._draws = None

    def _candidates(self, number: int) -> Iterator[Sample]:
        """The sample of a draw, then what stands in for it."""
        if self._draws is None:
            self._begin(number)
        while self._next <= number:
            drawn = self._draw()
        drawn.usable = True
        yield drawn.sample
        # Whoever asks for more says that it can't be used.
        drawn.usable = False
        assert self._draws is not None, "they are closed last"
        yield from self._draws.stand_ins(number)

    def _draw(self) -> Drawn:
        """The next draw, of this epoch or the next one."""
        while True:
            self._draws = self._draws or EpochDraws(self._samples(self._epoch), self._seed, self._epoch)
            drawn = self._draws.next()
            if drawn:
                self._next += 1
                return drawn
            self._draws, self._epoch = None, self._epoch + 1

    def _begin(self, number: int) -> None:
        """Go to a draw. The first pass tells how long an epoch is; whole ones are left out."""
        while self._next < number:
            self._draw()
            if self._epoch:
                size = self._next - 1
                self._epoch = number // size
                self._next = self._epoch * size
                self._draws = None
                break
        while self._next < number:
            self._draw()

    def _samples(self, epoch: int) -> Iterator[Sample]:
        found = False
        for number in range(self._passes):
            if self._filter:
                self._filter.begin_pass()
            order = shuffled(len(self._shards), (self._seed, epoch), number * _PASS)
            streamed = (sample for shard in order for sample in usable_samples(self._shards[shard]))
            for sample in _mixed(self._kept(streamed, epoch, number), _uniforms(self._seed, epoch, number)):
                found = True
                yield sample
        if not found:
            if self._filter is None:
                raise ConfigError("no sample of this pool can be used: `datascaler pool check` says why")
            raise ConfigError("the subset matches no sample of this pool: nothing to train on")

    def _kept(self, samples: Iterator[Sample], epoch: int, number: int) -> Iterator[Sample]:
        """The samples of an epoch's pass."""
        if self._filter is None:
            yield from samples
            return
        while batch := list(islice(samples, _LOOKUP_SAMPLES)):
            uids = np.array([sample.uid for sample in batch], dtype=UID_DTYPE)
            times = self._filter.take(uids)
            if self._passes > 1:
                phases = hashed(uids["f0"] * _ODD + uids["f1"], (self._seed, epoch), _PHASES)
                times = times_in_pass(times, phases, number, self._passes)
            for sample, repeats in zip(batch, times.tolist(), strict=True):
                for _ in range(repeats):
                    yield sample


def passes_of(most_copies: int) -> int:
    """The passes over the pool in an epoch of a subset that names no uid more often than this."""
    return min(most_copies, MOST_PASSES)


def times_in_pass(times: NDArray[np.int64], phases: NDArray[np.uint64], number: int, passes: int) -> NDArray[np.int64]:
    """How often samples that come so often in an epoch come in its pass `number`: in even steps, from a random
    `phases` [n] on, of which 16 bits count.
    """
    unit = passes << 16
    shift = (phases >> np.uint64(48)).astype(np.int64) * passes
    before, after = ((each * (times << 16) - shift + unit - 1) // unit for each in (number, number + 1))
    return after - before


def _mixed(samples: Iterator[Sample], random: Iterator[float]) -> Iterator[Sample]:
    """Each sample changes places with one that waits in the buffer."""
    waiting = list(islice(samples, SHUFFLE_SAMPLES))
    for sample in samples:
        place = int(next(random) * len(waiting))
        waiting[place], sample = sample, waiting[place]
        yield sample
    while waiting:
        place = int(next(random) * len(waiting))
        waiting[place], waiting[-1] = waiting[-1], waiting[place]
        yield waiting.pop()


def _uniforms(seed: int, epoch: int, number: int) -> Iterator[float]:
    # The first purpose of a pass is the permutation of the shards.
    for purpose in count(number * _PASS + 1):
        yield from uniforms(4096, (seed, epoch), purpose).tolist()
