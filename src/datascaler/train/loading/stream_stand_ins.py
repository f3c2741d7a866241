"""The draws of one pass-by of a stream, and what stands in for those that can't be used.

A stream is not read twice, so samples are held back for that: the first of the epoch, and as it goes on an even choice
of all so far (reservoir sampling, Vitter 1985), since what is lost in a stream comes in a row, a shard at a time. The
k-th unusable of 64 successive draws takes the k-th usable sample of this reserve, which each 64 begin at another place.
All of it follows from the stream and the seed, whoever reads the others of the 64.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

from datascaler.data.pool.samples import Sample
from datascaler.data.read.stand_ins import Supply, is_usable
from datascaler.errors import BadInputError
from datascaler.tools.philox import uniforms

RESERVE_SAMPLES = 1024
"""36 MB at DataComp's size."""
_GROUP = 64
"""Draws without a stand-in in common. A process may have to decode what others draw of them to know its own place."""
_PURPOSE = 1 << 61
"""Apart from what else a stream asks of the same generator."""


@dataclass(slots=True)
class Drawn:
    """A sample of the stream, and whether it can be used, once that is known."""

    sample: Sample
    usable: bool | None = None

    def is_usable(self) -> bool:
        if self.usable is None:
            self.usable = is_usable(self.sample)
        return self.usable


class EpochDraws:
    """Goes through the samples of an epoch, once."""

    def __init__(self, samples: Iterator[Sample], seed: int, epoch: int) -> None:
        self._samples = samples
        self._random = _uniforms(seed, epoch)
        self._drawn = 0
        self._ahead: deque[Drawn] = deque()
        self._reserve: list[Drawn] = []
        self._group: list[Drawn] = []
        """The last draws, back to a multiple of _GROUP."""
        self._reserve_then: list[Drawn] = []
        """The reserve as the group began."""
        self._supply: Supply[Sample] | None = None

    def next(self) -> Drawn | None:
        """The next draw; None at the end of the epoch."""
        if not self._ahead:
            self._look_ahead()
        if not self._ahead:
            return None
        drawn = self._ahead.popleft()
        if self._drawn % _GROUP == 0:
            self._group, self._supply = [], None
            self._reserve_then = list(self._reserve)
        self._group.append(drawn)
        self._drawn += 1
        if self._drawn > RESERVE_SAMPLES:
            place = int(next(self._random) * self._drawn)
            if place < RESERVE_SAMPLES:
                self._reserve[place] = drawn
        return drawn

    def stand_ins(self, number: int) -> Iterator[Sample]:
        """Stand-ins for the last draw, the run's `number`-th; one after another, should they not decode.

        Raises BadInputError when they run out.
        """
        if self._supply is None:
            while len(self._reserve) < RESERVE_SAMPLES and self._look_ahead():
                pass
            if len(self._reserve_then) < RESERVE_SAMPLES:
                self._reserve_then = self._reserve
            self._supply = Supply(self._usable())
        yield from self._supply.from_number(sum(not drawn.is_usable() for drawn in self._group[:-1]))
        raise BadInputError(
            f"none of the {len(self._reserve_then)} samples that could stand in for draw {number} can be decoded"
        )

    def _look_ahead(self) -> bool:
        """Whether there is one more; the first of an epoch are its reserve."""
        sample = next(self._samples, None)
        if sample is None:
            return False
        self._ahead.append(Drawn(sample))
        if len(self._reserve) < RESERVE_SAMPLES:
            self._reserve.append(self._ahead[-1])
        return True

    def _usable(self) -> Iterator[Sample]:
        """The usable samples of the reserve, copies once; they begin at the group's own place."""
        held = list(self._reserve_then)
        # So that two groups, and a draw and its stand-in, lie far apart.
        start = (self._drawn - 1) // _GROUP * _GROUP + len(held) // 2
        known = set()
        for at in range(len(held)):
            drawn = held[(start + at) % len(held)]
            if drawn.sample.uid not in known and drawn.is_usable():
                known.add(drawn.sample.uid)
                yield drawn.sample


def _uniforms(seed: int, epoch: int) -> Iterator[float]:
    for purpose in count(_PURPOSE):
        yield from uniforms(4096, (seed, epoch), purpose).tolist()
