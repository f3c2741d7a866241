"""Kept rows of a local shard whose places are known, each read alone: all of its bytes in one read, and no others.

What is read long before it is used has left the processor's caches by then: of samples that wait in thousands, storing
and fetching them costs more than reading them. So a row is read when it is asked for (`RowsAtUse`).
"""

import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from datascaler import storage
from datascaler.data.pool.samples import Sample, decode_caption, is_of_sample, key_length_of
from datascaler.data.pool.tar import BLOCK_BYTES, plain_header, says_time_only, text_of
from datascaler.data.read.kept_samples import Piece, kept_samples


class RowsAtUse:
    """Samples of a block of a local shard, each read when it is asked for."""

    def __init__(
        self,
        url: str,
        rows: Sequence[int],
        ranges: Sequence[Sequence[int]],
        otherwise: Callable[[], Sequence[Sample]],
        took: Callable[[float], None] | None = None,
    ) -> None:
        """`ranges` are the bytes [start, end) of each row. Where one does not hold its sample, all are taken from
        `otherwise`. `took`, if given, is told what they take, in seconds, by the first that is read.
        """
        self._url, self._rows, self._ranges = url, rows, ranges
        self._otherwise, self._took = otherwise, took
        self._file: int | None = None
        self._others: Sequence[Sample] | None = None

    def sample(self, at: int) -> Sample:
        """The sample of the row number `at`."""
        if self._others is not None:
            return self._others[at]
        try:
            sample = self._first(at) if self._file is None else self._read(self._file, at)
        except OSError:
            sample = None
        if sample is None:
            self._others = self._otherwise()
            self._close()
            return self._others[at]
        return sample

    def _first(self, at: int) -> Sample | None:
        began = time.perf_counter()
        self._file = os.open(storage.local_path(self._url), os.O_RDONLY)
        sample = self._read(self._file, at)
        if self._took:
            self._took((time.perf_counter() - began) * len(self._rows))
        return sample

    def _read(self, file: int, at: int) -> Sample | None:
        row, (start, end) = self._rows[at], self._ranges[at]
        content = os.pread(file, end - start, start)
        return plain_sample(row, start, content, end - start) or _sample(row, start, end, content)[0]

    def _close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def __del__(self) -> None:
        with suppress(OSError):
            self._close()


def rows_alone(url: str, ranges: Sequence[Sequence[int]], rows: Sequence[int]) -> tuple[dict[int, Sample], str]:
    """The samples of rows of a local file, each from its bytes [start, end), and the first fault, as `kept_samples`
    returns them. Raises NotFoundError.
    """
    found: dict[int, Sample] = {}
    faults: list[str] = []
    with storage.opened_local(url) as file:
        for row, (start, end) in zip(rows, ranges, strict=True):
            sample, fault = plain_sample(row, start, os.pread(file, end - start, start), end - start), ""
            if sample is None:
                sample, fault = _sample(row, start, end, storage.read_ranges(url, [(start, end)])[0])
            if sample:
                found[row] = sample
            faults.append(fault)
    return found, next(filter(None, faults), "")


def _sample(row: int, start: int, end: int, content: bytes) -> tuple[Sample | None, str]:
    """The sample of any form, or why not."""
    found, fault = kept_samples(content, Piece(start, end, row, row + 1), [row])
    return found.get(row), fault


def plain_sample(row: int, start: int, content: bytes, size: int) -> Sample | None:
    """The sample that fills `size` bytes of a shard from `start` on, read as `content`, if it is as DataComp's are: a
    jpg and a txt, in plain headers, and no extension that says more than a time.
    """
    if len(content) != size:  # some file systems give less than there is
        return None
    at, key, name_length = 0, b"", 0
    found: dict[bytes, bytes] = {}
    while at < size:
        begin = at + BLOCK_BYTES
        header = content[at:begin]
        plain = plain_header(header)
        if plain is None:
            if not says_time_only(header, content[begin : begin + BLOCK_BYTES]):
                return None
            at = begin + BLOCK_BYTES
            continue
        name, length = plain
        if not found:
            key = name[: key_length_of(name)]
            name_length = len(key) + 1
            if not is_of_sample(name):
                return None
        suffix = name[name_length:]
        end = begin + length
        # The next dot would begin the suffix earlier, were the key another one.
        if end > size or suffix in found or not name.startswith(key) or name[len(key) : name_length] != b".":
            return None
        found[suffix] = content[begin:end]
        at = end + -length % BLOCK_BYTES
    image, caption = found.get(b"jpg"), found.get(b"txt")
    if at != size or not image or caption is None:
        return None
    try:
        return Sample(row, text_of(key), start, size, (0, 0), image, decode_caption(caption))
    except UnicodeDecodeError:
        return None
