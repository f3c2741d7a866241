"""Blocks of local shards: read whole into a buffer that is used again, or row by row.

A row is read alone in three parts: its first header, its image straight to where it stays, and the rest. With the
file in the system's cache that takes half the time of the block at a kept fraction of 0.4. Where each read is a request
to a server that stands behind a folder, it takes many times as long. So both are timed as they are used.
"""

import math
import mmap
import os
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
from datascaler.data.pool.samples import Sample, decode_caption, is_of_sample, key_length_of
from datascaler.data.pool.tar import BLOCK_BYTES, plain_header, says_time_only, text_of
from datascaler.data.read.kept_samples import Piece, kept_samples

_Found = tuple[dict[int, Sample], str]
"""Samples by row and the first fault, as `kept_samples` returns them."""

_LARGE_PAGE_BYTES = 2 << 20
_WHOLE, _ALONE = range(2)
_HELD_BYTES = 4096
"""Read at a header: json and caption, which follow the image, are most often in it too."""
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

    def kept(self, url: str, block: Piece, rows: Sequence[int], ranges: NDArray[np.int64] | None) -> _Found:
        """The samples of rows of a block, by the way that is faster if ranges [k, 2] were found for them. Raises
        NotFoundError.

        Both ways give the same: where one meets a fault the other is gone too, so that time decides no sample.
        """
        whole = partial(self._kept_in_whole, url, block, rows)
        if ranges is None:
            return whole()
        size = block.end - block.start
        ways = [whole, partial(rows_alone, url, ranges.tolist(), rows)]
        way = self._faster.next(size)
        began = time.perf_counter()
        found, fault = ways[way]()
        self._faster.took(way, size, time.perf_counter() - began)
        if fault:
            found = ways[1 - way]()[0] | found
        return found, fault if len(found) < len(rows) else ""

    def _kept_in_whole(self, url: str, block: Piece, rows: Sequence[int]) -> _Found:
        return kept_samples(self.whole(url, block), block, rows)


def rows_alone(url: str, ranges: Sequence[Sequence[int]], rows: Sequence[int]) -> _Found:
    """The samples of rows of a local file, each from its bytes [start, end). Raises NotFoundError."""
    found: dict[int, Sample] = {}
    faults: list[str] = []
    with storage.opened_local(url) as file:
        for row, (start, end) in zip(rows, ranges, strict=True):
            sample = _plain_sample(file, row, start, end)
            if sample:
                found[row] = sample
            else:
                content = storage.read_ranges(url, [(start, end)])[0]
                good, fault = kept_samples(content, Piece(start, end, row, row + 1), [row])
                found |= good
                faults.append(fault)
    return found, next(filter(None, faults), "")


def _plain_sample(file: int, row: int, start: int, end: int) -> Sample | None:
    """The sample that fills bytes [start, end), if it is as DataComp's are: a jpg and a txt, in plain headers, and no
    extension that says more than a time.
    """
    at = held_at = stop = start
    held = key = image = b""
    caption: bytes | None = None
    suffixes: set[bytes] = set()
    while at < end:
        content = at + BLOCK_BYTES
        if content + BLOCK_BYTES > held_at + len(held):
            held, held_at = os.pread(file, min(_HELD_BYTES, end - at), at), at
        header = held[at - held_at : content - held_at]
        plain = plain_header(header)
        if plain is None:
            if not says_time_only(header, held[content - held_at : content - held_at + BLOCK_BYTES]):
                return None
            at = content + BLOCK_BYTES
            continue
        name, size = plain
        stop = content + size
        key_length = key_length_of(name)
        suffix = name[key_length + 1 :].lower()
        if stop > end or suffix in suffixes or not suffix.isascii() or (suffixes and name[:key_length] != key):
            return None
        if not is_of_sample(name):
            return None
        key = name[:key_length]
        suffixes.add(suffix)
        if suffix == b"jpg":
            image = os.pread(file, size, content)
            if len(image) != size:  # some file systems give less than there is
                return None
        elif suffix == b"txt":
            is_held = stop <= held_at + len(held)
            caption = held[content - held_at : stop - held_at] if is_held else os.pread(file, size, content)
            if len(caption) != size:
                return None
        at = stop + -size % BLOCK_BYTES
    if stop + -stop % BLOCK_BYTES != end or not image or caption is None:
        return None
    try:
        return Sample(row, text_of(key), start, end - start, (0, 0), image, decode_caption(caption))
    except UnicodeDecodeError:
        return None


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
