"""Draws -> samples: every stream's windows are read ahead of their use, the next needed first, in bounded memory."""

import heapq
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache, partial
from itertools import count

from datascaler.data.plan.plan import Plan
from datascaler.data.pool.samples import Sample
from datascaler.data.pool.shards import Shard
from datascaler.data.read.cache import BlockCache
from datascaler.data.read.order import Draw, Order, Window
from datascaler.data.read.places import Places
from datascaler.data.read.read_block import BlockReader
from datascaler.data.read.stand_ins import StandIns, is_usable
from datascaler.tools.worker_threads import end_threads

AHEAD_BYTES = 128 << 20
"""Bytes of windows on their way or waiting for their turn, in all streams of this process."""
AHEAD_WINDOWS = 8
"""Windows ahead for each stream of this process, on average; where windows are small, this limit counts."""
_READ_THREADS = 16
"""An object store answers late, so many requests are on their way at once."""

_UNKNOWN, _YES, _NO = range(3)

_Place = tuple[int, int]
"""Epoch, and position in the stream: what is needed sooner is smaller."""


@dataclass(slots=True)
class _Pending:
    epoch: int
    window: Window
    size: int
    found: Callable[[], Callable[[int], Sample]]
    """What gives the sample of each of the window's draws, once that is read."""
    usable: bytearray
    """Whether the sample at each position can be used, as far as that is known."""
    stand_ins: StandIns | None = None


@dataclass(slots=True)
class _Cursor:
    """Where a stream is: its window in hand, those on their way, and those still to be asked for."""

    upcoming: Iterator[tuple[int, Window]]
    pending: deque[_Pending] = field(default_factory=deque)
    current: _Pending | None = None


class Reader:
    """Gives the samples of draws. A stream whose draws come in rising order is read once, ahead of its use."""

    def __init__(
        self,
        plan: Plan,
        shards: Sequence[Shard],
        order: Order,
        *,
        end: int | None = None,
        cache: BlockCache | None = None,
        places: Places | None = None,
    ) -> None:
        """`shards` are in the plan's order; no window is read ahead for draws from number `end` on."""
        self._order = order
        self._end = end
        self._blocks = BlockReader(plan, shards, cache, places)
        self._threads = ThreadPoolExecutor(_READ_THREADS, thread_name_prefix="read")
        self._cursors: dict[int, _Cursor] = {}
        self._soonest: list[tuple[_Place, int, _Cursor]] = []
        """A heap of the streams by where their last window on the way ends; the number only breaks ties."""
        self._ahead_bytes = 0
        self._ahead_windows = 0
        self._opened = count()

    def start(self, draws: Sequence[Draw]) -> None:
        """Begin to read what these draws need, all streams at once."""
        stream = -1
        for draw in draws:  # those of a stream stand together, the first of them first
            if draw.stream != stream and self._is_behind(draw):
                self._open(draw)
            stream = draw.stream

    def candidates(self, draw: Draw) -> Iterator[Sample]:
        """The sample of a draw, then its stand-ins should it not decode. Whoever asks for one says by that that those
        before did not. A sample that can't be read is given without an image.

        Raises BadInputError when they run out.
        """
        held = self._window_at(draw)
        position = draw.position - held.window.start
        sample, shuffle, usable = held.found(), held.window.shuffle, held.usable
        usable[position] = _YES
        yield sample(shuffle[position])
        usable[position] = _NO
        for before in range(position):  # drawn elsewhere, if not here
            if usable[before] == _UNKNOWN:
                usable[before] = _YES if is_usable(sample(shuffle[before])) else _NO
        if held.stand_ins is None:
            held.stand_ins = StandIns(self._order, draw.epoch, draw.stream, held.window, self._blocks.samples)
        yield from held.stand_ins.from_number(usable.count(_NO, 0, position), draw.number)

    def alone(self, draw: Draw) -> Sample:
        """The sample of a draw, read without what lies around it where its place is known."""
        window = next(self._order.windows(draw.epoch, draw.stream, draw.position))
        at = window.first + int(window.shuffle[draw.position - window.start])
        (sample,) = self._blocks.samples(window.block, at, at + 1)
        return sample

    def close(self) -> None:
        end_threads(self._threads, cancel_futures=True)
        self._blocks.close()

    def _is_behind(self, draw: Draw) -> bool:
        """Whether the stream is not open, or is past the draw."""
        cursor = self._cursors.get(draw.stream)
        if cursor is None:
            return True
        first = cursor.current or cursor.pending[0]
        return (draw.epoch, draw.position) < (first.epoch, first.window.start)

    def _window_at(self, draw: Draw) -> _Pending:
        cursor, place = self._cursors.get(draw.stream), (draw.epoch, draw.position)
        held = cursor.current if cursor else None
        if held and held.epoch == draw.epoch and 0 <= draw.position - held.window.start < len(held.usable):
            return held  # as most are
        if cursor is None or self._is_behind(draw):
            cursor = self._open(draw)
        while cursor.current is None or place >= (cursor.current.epoch, cursor.current.window.end):
            if not cursor.pending:
                self._ask(cursor)
            cursor.current = cursor.pending.popleft()
            self._ahead_bytes -= cursor.current.size
            self._ahead_windows -= 1
            self._read_ahead()
        return cursor.current

    def _open(self, draw: Draw) -> _Cursor:
        abandoned = self._cursors.get(draw.stream)
        if abandoned:
            self._ahead_bytes -= sum(pending.size for pending in abandoned.pending)
            self._ahead_windows -= len(abandoned.pending)
            abandoned.pending.clear()
            abandoned.current = None
        cursor = self._cursors[draw.stream] = _Cursor(self._upcoming(draw))
        self._ask(cursor)
        return cursor

    def _upcoming(self, draw: Draw) -> Iterator[tuple[int, Window]]:
        """The stream's windows from a draw's on, epoch after epoch."""
        for epoch in count(draw.epoch):
            position = draw.position if epoch == draw.epoch else 0
            for window in self._order.windows(epoch, draw.stream, position):
                yield epoch, window

    def _ask(self, cursor: _Cursor) -> None:
        """Send the stream's next window on its way."""
        epoch, window = next(cursor.upcoming)
        request = self._blocks.request(window.block, window.first, window.last)
        found: Callable[[], Callable[[int], Sample]]
        # Threads fetch from an object store; a disk is read ahead by the system, and threads would only cost CPU.
        if request.is_local:
            self._blocks.expect(request)
            found = cache(partial(self._blocks.at_use, request))
        else:
            found = self._threads.submit(self._blocks.at_use, request).result
        cursor.pending.append(_Pending(epoch, window, request.size, found, bytearray(window.last - window.first)))
        self._ahead_bytes += request.size
        self._ahead_windows += 1
        heapq.heappush(self._soonest, ((epoch, window.end), next(self._opened), cursor))

    def _read_ahead(self) -> None:
        most_windows = AHEAD_WINDOWS * len(self._cursors)
        while self._soonest and self._ahead_bytes < AHEAD_BYTES and self._ahead_windows < most_windows:
            (epoch, position), _, cursor = heapq.heappop(self._soonest)
            last = cursor.pending[-1] if cursor.pending else cursor.current
            if (
                last is None
                or (last.epoch, last.window.end) != (epoch, position)
                or not self._is_wanted(epoch, position)
            ):
                continue  # another window of the stream was asked for since, or the run ends before
            self._ask(cursor)

    def _is_wanted(self, epoch: int, position: int) -> bool:
        """Whether any stream's draw at this position comes before the end."""
        return self._end is None or epoch * self._order.samples + position * self._order.streams < self._end
