"""Samples without a plan: every process reads the whole pool as a stream, and keeps what the subset names.

An epoch is one pass. Its shards are permuted by (seed, epoch); their samples come in tar order, are filtered by uid and
pass through a shuffle buffer. All of that is a function of the pool, the subset and the seed, so every process sees the
same draws and takes its own, and a batch does not depend on how many processes there are. The price is that each reads
everything: this is for one node, and for pools that are not worth an index.

An epoch holds what an epoch by a plan does. Where the pool has a uid twice, a plan takes the first in the order of the
pool; a stream takes the first that comes, which may be another one in the next epoch.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path

import numpy as np

from datascaler import storage
from datascaler.data.pool import Shard
from datascaler.data.randomness import shuffled, uniforms
from datascaler.data.samples import Sample
from datascaler.data.uid_filter import UidFilter
from datascaler.data.uids import UID_DTYPE
from datascaler.errors import BadInputError, ConfigError
from datascaler.train.tar_stream import stream_shard

SHUFFLE_SAMPLES = 2048
"""In the buffer of each process: 70 MB at DataComp's size."""
STAND_INS = 1024
"""Samples that are tried for one draw."""
_LOOKUP_SAMPLES = 128


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
        self._samples: Iterator[Sample] = iter(())
        self._ahead: deque[Sample] = deque()
        """Samples from draw `_at` on that have been looked at."""
        self._at: int | None = None

    def part(self, first: int, size: int, index: int, of: int) -> Iterator[tuple[int, Iterator[Sample]]]:
        """Part `index` of `of` of the draws [first, first + size): each with its sample and the stand-ins for it."""
        for number in range(first, first + size):
            if number % of == index:
                yield number, self._candidates(number)

    def close(self) -> None:
        self._samples = iter(())

    def _candidates(self, number: int) -> Iterator[Sample]:
        """The sample of a draw, then those of the draws that follow."""
        if self._at is None:
            self._samples, self._at = self._from_draw(number), number
        while self._at < number:
            if self._ahead:
                self._ahead.popleft()
            else:
                next(self._samples)
            self._at += 1
        for place in range(STAND_INS):
            if place == len(self._ahead):
                self._ahead.append(next(self._samples))
            yield self._ahead[place]
        raise BadInputError(f"none of the {STAND_INS} samples from draw {number} on can be decoded")

    def _from_draw(self, number: int) -> Iterator[Sample]:
        """The samples of all draws from one on. The first pass tells how long an epoch is; whole ones are left out."""
        epoch, samples = 0, self._epoch(0)
        passed = _skip(samples, number)
        if passed < number:
            epoch, rest = divmod(number, passed)
            samples = self._epoch(epoch)
            _skip(samples, rest)
        yield from samples
        for following in count(epoch + 1):
            yield from self._epoch(following)

    def _epoch(self, epoch: int) -> Iterator[Sample]:
        if self._filter:
            self._filter.begin_pass()
        order = shuffled(len(self._shards), (self._seed, epoch))
        streamed = (sample for number in order for sample in stream_shard(self._shards[number]))
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


def _skip(samples: Iterator[Sample], number: int) -> int:
    """How many there were to skip, up to `number`."""
    return sum(1 for _ in islice(samples, number))


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
