"""Blocks of local shards: read whole into a buffer that is used again, or row by row.

With the file in the system's cache rows alone take half the time of the block, and less. Where each read is a request
to a server that stands behind a folder, they take many times as long. So both are timed as they are used.
"""

import math
import mmap
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

import numpy as np
from numpy.typing import NDArray

from datascaler import storage
from datascaler.data.plan.plan import PLAN_BLOCK_BYTES
from datascaler.data.pool.samples import Sample
from datascaler.data.read.kept_samples import Piece, kept_samples
from datascaler.data.read.rows_alone import rows_alone

_Found = tuple[dict[int, Sample], str]
"""Samples by row and the first fault, as `kept_samples` returns them."""

_LARGE_PAGE_BYTES = 2 << 20
_WHOLE, _ALONE = range(2)
_TIMES = 8
_CLEARLY = 2
"""Rows are read alone unless that takes so many times as long: times differ by as much on a busy machine."""
_TRIALS = 0.05
"""The largest share of the time that goes into finding out whether the slower way has become the faster one."""


class LocalBlocks(threading.local):
    """Reads blocks of local shards. Every thread has a buffer and times of its own."""

    def __init__(self) -> None:
        self._buffer = memoryview(b"")
        self._faster = FasterWay()

    def whole(self, url: str, piece: Piece) -> memoryview:
        """The bytes of a piece, as far as the file has them; they are overwritten by this thread's next read."""
        size = piece.end - piece.start
        if len(self._buffer) < size:
            self._buffer = read_buffer(max(size, PLAN_BLOCK_BYTES))
        content = self._buffer[:size]
        return content[: storage.read_local_into(url, piece.start, content)]

    def kept(
        self, url: str, block: Piece, rows: Sequence[int], ranges: NDArray[np.int64] | None, *, whole: bool = False
    ) -> _Found:
        """The samples of rows of a block: each alone if ranges [k, 2] were found for them, or by the `whole` block.
        Raises NotFoundError.

        Both ways give the same: where one meets a fault the other is gone too, so that time decides no sample.
        """
        ways = [partial(self._kept_in_whole, url, block, rows)]
        if ranges is not None:
            ways.insert(int(whole), partial(rows_alone, url, ranges.tolist(), rows))
        found, fault = ways[0]()
        if fault and len(ways) > 1:
            found = ways[1]()[0] | found
        return found, fault if len(found) < len(rows) else ""

    def prefers_rows(self, size: int) -> bool:
        """Whether rows of a block of this size should be read alone, where either way can be gone."""
        return self._faster.next(size) == _ALONE

    def took_alone(self, size: int, seconds: float) -> None:
        """What the rows of a block took, read alone."""
        self._faster.took(_ALONE, size, seconds)

    def _kept_in_whole(self, url: str, block: Piece, rows: Sequence[int]) -> _Found:
        began = time.perf_counter()
        found = kept_samples(self.whole(url, block), block, rows)
        self._faster.took(_WHOLE, block.end - block.start, time.perf_counter() - began)
        return found


class FasterWay:
    """Which of two ways to read takes less time a byte. The slower one is tried again once so much time was spent on
    the other that a trial is lost in it: a file may have come into the system's cache, or gone from it.
    """

    def __init__(self) -> None:
        self._rates = [deque[float](maxlen=_TIMES), deque[float](maxlen=_TIMES)]
        """Seconds a byte, of either way's latest uses. The least counts: whatever else the machine does adds to it."""
        self._spent = 0.0
        """Seconds since the slower way was used."""

    def next(self, size: int) -> int:
        """The way for the next `size` bytes; to begin with, each once."""
        untried = [way for way, rates in enumerate(self._rates) if not rates]
        if untried:
            return untried[0]
        slower = 1 - self._faster()
        return slower if size * min(self._rates[slower]) <= _TRIALS * self._spent else 1 - slower

    def took(self, way: int, size: int, seconds: float) -> None:
        self._rates[way].append(seconds / size)
        self._spent = self._spent + seconds if way == self._faster() else 0.0

    def _faster(self) -> int:
        whole, alone = (min(rates, default=math.inf) for rates in self._rates)
        return _ALONE if alone < _CLEARLY * whole else _WHOLE


def read_buffer(size: int) -> memoryview:
    """`size` bytes, in large pages where the system has them: copying out of its cache then takes a third less CPU."""
    memory = mmap.mmap(-1, size + _LARGE_PAGE_BYTES)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # a kernel without them
            memory.madvise(mmap.MADV_HUGEPAGE)
    start = -np.frombuffer(memory, np.uint8).ctypes.data % _LARGE_PAGE_BYTES
    return memoryview(memory)[start : start + size]
