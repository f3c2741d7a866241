"""Samples without a plan: every process reads the whole pool as a stream, and keeps what the subset names.

An epoch is one pass. Its shards are permuted by (seed, epoch); their samples come in tar order, are filtered by uid and
pass through a shuffle buffer. All of that is a function of the pool, the subset and the seed, so every process sees the
same draws and takes its own, and a batch does not depend on how many processes there are. The price is that each reads
everything: this is for one node, and for pools that are not worth an index.

An epoch holds what an epoch by a plan does. Where the pool has a uid twice, a plan takes the first in the order of the
pool; a stream takes the first that comes, which may be another one in the next epoch.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import count, islice
from pathlib import Path

import numpy as np

from datascaler import storage
from datascaler.data.pool import Shard
from datascaler.data.randomness import shuffled, uniforms
from datascaler.data.samples import DAMAGED_TAR, OK, Sample
from datascaler.data.stream_shard import stream_shard
from datascaler.data.uid_filter import UidFilter
from datascaler.data.uids import UID_DTYPE
from datascaler.errors import ConfigError
from datascaler.train.reserve import Drawn, EpochDraws

SHUFFLE_SAMPLES = 2048
"""In the buffer of each process: 70 MB at DataComp's size."""
_LOOKUP_SAMPLES = 128

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Unplanned:
    """A pool and a subset, to be opened in a loader worker."""

    shards: Sequence[Shard]
    filter_folder: Path | None
    """Of `save_filter`; None keeps every sample."""

    def open(self, *, seed: int, **_: object) -> "UnplannedFeed":
        # As `Planned.open` does, and for the same reason.
        storage.assume_answers(self.shards[0].url)
        return UnplannedFeed(self, seed)


class UnplannedFeed:
    """Gives the samples of draws, which must come in rising order. A first draw above 0 costs the reading up to it."""

    def __init__(self, source: Unplanned, seed: int) -> None:
        self._shards, self._seed = source.shards, seed
        self._filter = UidFilter(source.filter_folder) if source.filter_folder else None
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
        if self._filter:
            self._filter.begin_pass()
        order = shuffled(len(self._shards), (self._seed, epoch))
        streamed = (sample for number in order for sample in usable_samples(self._shards[number]))
        found = False
        for sample in _mixed(self._kept(streamed), _uniforms(self._seed, epoch)):
            found = True
            yield sample
        if not found:
            raise ConfigError("the subset matches no sample of this pool: nothing to train on")

    def _kept(self, samples: Iterator[Sample]) -> Iterator[Sample]:
        if self._filter is None:
            yield from samples
            return
        while batch := list(islice(samples, _LOOKUP_SAMPLES)):
            times = self._filter.take(np.array([sample.uid for sample in batch], dtype=UID_DTYPE))
            for sample, repeats in zip(batch, times.tolist(), strict=True):
                for _ in range(repeats):
                    yield sample


def usable_samples(shard: Shard) -> Iterator[Sample]:
    """The samples whose status is ok, by scoring's own reading, in tar order; nothing is decoded.

    Raises ConfigError for a shard that is not the one that was pinned.
    """
    for sample in stream_shard(shard):
        if sample.status == OK:
            yield sample
        elif sample.status == DAMAGED_TAR:
            _warn(shard.url, sample.detail)


@cache
def _warn(url: str, reason: str) -> None:
    """Once, and not in every epoch."""
    _log.warning("%s is damaged (%s); the samples before that are used", url, reason)


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


def _uniforms(seed: int, epoch: int) -> Iterator[float]:
    # Purpose 0 is the permutation of the shards.
    for purpose in count(1):
        yield from uniforms(4096, (seed, epoch), purpose).tolist()
