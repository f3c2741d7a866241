"""Block -> its kept samples: as one request, as a few ranges where little is kept, or from the node's own cache."""

import hashlib
import logging
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from datascaler import storage
from datascaler.data.plan.copy_parts import by_copy
from datascaler.data.plan.plan import PLAN_BLOCK_BYTES, Block, Plan
from datascaler.data.pool.samples import DAMAGED_TAR, Sample
from datascaler.data.pool.shards import Shard
from datascaler.data.read.cache import BlockCache
from datascaler.data.read.kept_samples import Piece, kept_samples
from datascaler.data.read.logged_samples import logged_samples
from datascaler.data.read.read_buffer import read_buffer
from datascaler.errors import NotFoundError

REMOTE_REQUEST_BYTES = 256 << 10
"""What a request to an object store costs, in bytes that could be read meanwhile: gaps up to this are read along.

By CPU alone it would be 0.4 MB (obstore) to 1.4 MB (s3fs); this spends a little more of it to move fewer bytes.
"""
LOCAL_REQUEST_BYTES = 16 << 10
_PACKING = 2
"""The form of samples in the cache; what an earlier version kept is not looked for."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class BlockReader:
    """Reads blocks of a plan from the pool; safe to share between threads."""

    plan: Plan
    shards: Sequence[Shard]
    cache: BlockCache | None = None
    _warned: set[int] = field(default_factory=set)
    """Shards that a warning was given about."""
    _buffers: threading.local = field(default_factory=threading.local)

    def samples(self, number: int, first: int, last: int) -> list[Sample]:
        """The draws [first, last) of a block: its kept samples in tar order, then their copies (`copy_parts`).

        One that can't be read stands there with status DAMAGED_TAR and no image: a fault never shifts the order.
        """
        block = self.plan.block(number)
        every = self.plan.kept_rows(block.shard, block.first_row, block.end_row - block.first_row)
        rows = by_copy(every)[first:last]
        kept = _distinct(every)
        found = self._cached(block, kept)
        if found is None:
            wanted = np.unique(rows)
            found, fault = self._read(block, number, kept, wanted)
            if fault:
                self._warn(block, fault, is_logged=self.plan.row_uids(block.shard, wanted) is not None)
            elif len(wanted) == len(kept):
                self._keep(block, kept, found)
        else:
            fault = ""
        return [found.get(row) or _missing(row, fault) for row in rows.tolist()]

    def expect(self, number: int, first: int, last: int) -> tuple[int, bool]:
        """About how many bytes the draws [first, last) of a block take, and whether the block is local: then the system
        is told to read it ahead.
        """
        block = self.plan.block(number)
        url = self.shards[block.shard].url
        is_local = storage.is_local(url)
        # Of a block that is read for copies only little is wanted.
        if is_local and (first == 0 or not len(self.plan.arrays["range_start"])):
            with suppress(NotFoundError):  # reading it will say so
                storage.expect_local(url, block.start, block.end)
        return (block.end - block.start) * (last - first) // (block.end_row - block.first_row), is_local

    def _read(
        self, block: Block, number: int, every: NDArray[np.int64], rows: NDArray[np.int64]
    ) -> tuple[dict[int, Sample], str]:
        """Of `every` kept row of the block those of `rows`, both ascending and distinct."""
        url = self.shards[block.shard].url
        pieces = self._pieces(block, number, every, rows)
        try:
            contents = self._contents(url, pieces)
        except NotFoundError as error:
            return {}, str(error)
        uids = self.plan.row_uids(block.shard, rows)
        if uids is not None:
            return logged_samples(contents[0], pieces[0], rows.tolist(), uids)
        if len(pieces) == 1:
            return kept_samples(contents[0], pieces[0], rows.tolist())
        found: dict[int, Sample] = {}
        fault = ""
        for piece, content in zip(pieces, contents, strict=True):
            among = rows[np.searchsorted(rows, piece.first_row) : np.searchsorted(rows, piece.end_row)].tolist()
            good, wrong = kept_samples(content, piece, among)
            found |= good
            fault = fault or wrong
        return found, fault

    def _contents(self, url: str, pieces: list[Piece]) -> Sequence[bytes | memoryview]:
        """What the pieces hold; a local one is overwritten by the next read of this thread."""
        if len(pieces) > 1 or not storage.is_local(url):
            return storage.read_ranges(url, [(piece.start, piece.end) for piece in pieces])
        size = pieces[0].end - pieces[0].start
        buffer = getattr(self._buffers, "buffer", None)
        if buffer is None or len(buffer) < size:
            buffer = self._buffers.buffer = read_buffer(max(size, PLAN_BLOCK_BYTES))
        whole = buffer[:size]
        return [whole[: storage.read_local_into(url, pieces[0].start, whole)]]

    def _pieces(self, block: Block, number: int, every: NDArray[np.int64], rows: NDArray[np.int64]) -> list[Piece]:
        """What to ask for, so that `rows` are in it: whichever is cheaper, ranges or the whole block."""
        whole = Piece(block.start, block.end, block.first_row, block.end_row)
        ranges = self.plan.ranges(number)
        if ranges is None:
            return [whole]
        url = self.shards[block.shard].url
        request = LOCAL_REQUEST_BYTES if storage.is_local(url) else REMOTE_REQUEST_BYTES
        pieces = list(_coalesced(ranges[np.searchsorted(every, rows)], rows, request))
        cost = sum(piece.end - piece.start + request for piece in pieces)
        return pieces if cost < block.end - block.start + request else [whole]

    def _key(self, block: Block, rows: NDArray[np.int64]) -> str:
        """Names the kept rows of a block, whatever plan they are in: plans of one subset may cut other blocks."""
        shard = self.shards[block.shard]
        place = (self.plan.pool_digest, shard.name, shard.size, shard.etag, block.start, block.end, block.first_row)
        digest = hashlib.blake2b(repr(place).encode(), digest_size=20)
        digest.update(rows.tobytes())
        uids = self.plan.row_uids(block.shard, rows)
        if uids is not None:
            digest.update(uids.tobytes())
        return f"{_PACKING}-{digest.hexdigest()}"

    def _cached(self, block: Block, rows: NDArray[np.int64]) -> dict[int, Sample] | None:
        """The samples of all of a block's distinct kept rows, if they are in the cache."""
        if self.cache is None:
            return None
        key = self._key(block, rows)
        content = self.cache.get(key)
        if content is None:
            return None
        try:
            return _unpacked(content, rows.tolist())
        except (ValueError, struct.error):
            self.cache.forget(key)
            return None

    def _keep(self, block: Block, rows: NDArray[np.int64], found: dict[int, Sample]) -> None:
        if self.cache:
            self.cache.put(self._key(block, rows), _packed(found))

    def _warn(self, block: Block, fault: str, *, is_logged: bool) -> None:
        """Once a shard: a shard that was lost has hundreds of blocks."""
        if block.shard not in self._warned:
            self._warned.add(block.shard)
            what = "does not hold what the parquet beside it lists" if is_logged else "has changed since it was planned"
            url, place = self.shards[block.shard].url, f"bytes {block.start}-{block.end}"
            _log.warning("%s %s, in %s: %s; others take the place", url, what, place, fault)


def _distinct(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of ascending rows."""
    again = rows[1:] == rows[:-1]
    return np.concatenate([rows[:1], rows[1:][~again]]) if again.any() else rows


def _coalesced(ranges: NDArray[np.int64], rows: NDArray[np.int64], gap: int) -> Iterator[Piece]:
    """Ranges [k, 2] of ascending rows [k] -> pieces; what lies between two ranges is read along if it is short."""
    after = np.flatnonzero(ranges[1:, 0] - ranges[:-1, 1] > gap) + 1
    for first, last in zip([0, *after], [*after, len(rows)], strict=True):
        yield Piece(int(ranges[first, 0]), int(ranges[last - 1, 1]), int(rows[first]), int(rows[last - 1]) + 1)


def _missing(row: int, fault: str) -> Sample:
    return Sample(row=row, key="", offset=0, length=0, status=DAMAGED_TAR, detail=fault)


def _packed(samples: dict[int, Sample]) -> bytes:
    """Samples -> bytes: their number, their rows, the length of each caption and image, then those."""
    rows = sorted(samples)
    parts = [part for row in rows for part in (samples[row].caption.encode(), samples[row].image)]
    return b"".join([struct.pack(f"<I{len(rows)}I{len(parts)}I", len(rows), *rows, *map(len, parts)), *parts])


def _unpacked(content: bytes, rows: list[int]) -> dict[int, Sample]:
    """The samples of just these rows. Raises ValueError or struct.error where the content is of others, or of none."""
    (count,) = struct.unpack_from("<I", content)
    numbers = struct.unpack_from(f"<{3 * count}I", content, 4)
    at = 4 + 12 * count
    if list(numbers[:count]) != rows or at + sum(numbers[count:]) != len(content):
        raise ValueError("these are other samples")
    samples = {}
    for row, caption, image in zip(rows, numbers[count::2], numbers[count + 1 :: 2], strict=True):
        text = content[at : at + caption].decode()
        samples[row] = Sample(row, "", 0, 0, image=content[at + caption : at + caption + image], caption=text)
        at += caption + image
    return samples
