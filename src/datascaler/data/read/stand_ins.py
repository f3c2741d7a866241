"""What is drawn in place of samples that can't be used: other samples of the epoch, each once for a window.

The k-th unusable draw of a window takes the k-th usable sample of a list that belongs to the window. So no two draws of
a window share a stand-in while the list has others, and nobody needs to know more of the epoch than the window.

The list takes a short piece of each of the stream's other windows, in steps that meet them all, then the next pieces,
then the windows of the other streams, at last the window's own. The pieces rotate as the steps go on, so that windows
of one size have lists that begin with different samples: a stand-in is used once more, not by all that is lost at once.
"""

from collections.abc import Callable, Iterator
from itertools import chain, count, islice
from math import gcd
from typing import Generic, TypeVar

from datascaler.data.pool.images import decode_pixels
from datascaler.data.pool.samples import Sample
from datascaler.data.read.order import Order, Window
from datascaler.errors import BadInputError, ImageDecodeError

_WINDOWS = 8
"""The stand-ins of a window are spread over so many others, if all can be used."""
_MOST_PIECES = 64
"""More than there are samples in the window are read for it: then the list is taken to be all there is."""

Found = TypeVar("Found")

_Piece = tuple[int, int, int]
"""Kept samples [first, last) of a block: block, first, last."""


def is_usable(sample: Sample) -> bool:
    """Whether a sample was read and its image decodes."""
    if not sample.image:
        return False
    try:
        decode_pixels(sample.image)
    except ImageDecodeError:
        return False
    return True


class Supply(Generic[Found]):
    """What a search finds, as far as it is needed."""

    def __init__(self, search: Iterator[Found]) -> None:
        self._search = search
        self._found: list[Found] = []

    def from_number(self, number: int) -> Iterator[Found]:
        """The number-th find and those after it, each once; where there are fewer, from the first again."""
        turn = 0
        while self._reaches(number + turn) or turn < len(self._found):
            yield self._found[(number + turn) % len(self._found)]
            turn += 1

    def _reaches(self, number: int) -> bool:
        self._found += islice(self._search, max(0, number + 1 - len(self._found)))
        return number < len(self._found)


class StandIns:
    """The list of one window. It is looked through as far as it is needed, and one piece of it is in memory."""

    def __init__(
        self, order: Order, epoch: int, stream: int, own: Window, read: Callable[[int, int, int], list[Sample]]
    ) -> None:
        """`read` gives the samples of a piece."""
        self._order, self._epoch, self._stream, self._own, self._read = order, epoch, stream, own, read
        self._supply = Supply(self._usable())
        self._looked_at = 0
        self._faults: set[str] = set()
        self._loaded: tuple[_Piece, list[Sample]] | None = None

    def from_number(self, number: int, draw: int) -> Iterator[Sample]:
        """The stand-in of the window's `number`-th unusable draw, then the others, should it not do.

        Raises BadInputError where there are none (any more).
        """
        for piece, place in self._supply.from_number(number):
            yield self._samples(piece)[place]
        faults = sorted(filter(None, self._faults))
        reason = f"; the shards have changed since they were planned ({faults[0]})" if faults else ""
        raise BadInputError(
            f"none of the {self._looked_at} samples that could stand in for draw {draw} can be read and decoded{reason}"
        )

    def _samples(self, piece: _Piece) -> list[Sample]:
        if self._loaded is None or self._loaded[0] != piece:
            self._loaded = piece, self._read(*piece)
        return self._loaded[1]

    def _usable(self) -> Iterator[tuple[_Piece, int]]:
        own = (self._own.block, self._own.first, self._own.last)
        size = self._own.last - self._own.first
        others = islice(self._pieces(-(-size // _WINDOWS)), _MOST_PIECES + size)
        known: set[tuple[int, int]] = set()
        for piece in chain(others, [own]):
            for place, sample in enumerate(self._samples(piece)):
                # Copies of a repeated sample are one stand-in.
                if (piece[0], sample.row) in known:
                    continue
                known.add((piece[0], sample.row))
                self._looked_at += 1
                if is_usable(sample):
                    yield piece, place
                else:
                    self._faults.add(sample.detail)

    def _pieces(self, length: int) -> Iterator[_Piece]:
        """All other windows of the epoch in pieces of at most `length` samples, in the order of the list."""
        own = self._order.places(self._epoch, self._stream, self._own.start).start
        for stream in chain(range(self._stream, self._order.streams), range(self._stream)):
            places = self._order.places(self._epoch, stream)
            for turn in count():
                is_over = True
                for at, place in enumerate(_strided(places, own)):
                    if place == own and stream == self._stream:
                        continue
                    _, block, first, last = self._order.span(self._epoch, stream, place)
                    pieces = -(-(last - first) // length)
                    if turn < pieces:
                        start = first + (at + turn) % pieces * length
                        yield block, start, min(start + length, last)
                        is_over = False
                if is_over:
                    break


def _strided(places: range, start: int) -> Iterator[int]:
    """All places, by even steps from `start` on: successive ones lie far apart."""
    count = len(places)
    step = next(step for step in range(max(1, round(0.618 * count)), count + 2) if gcd(step, count) == 1)
    for at in range(count):
        yield places[(start - places.start + at * step) % count]
