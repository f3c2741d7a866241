"""Block -> its kept samples: as one request, as a few ranges where little is kept, or from the node's own cache."""

import hashlib
import logging
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from datascaler import storage
from datascaler.data.plan.copy_parts import by_copy
from datascaler.data.plan.plan import Block, Plan
from datascaler.data.pool.samples import DAMAGED_TAR, Sample
from datascaler.data.pool.shards import Shard
from datascaler.data.read.cache import BlockCache
from datascaler.data.read.kept_samples import Piece, kept_in_pieces, kept_samples
from datascaler.data.read.local_block import LocalBlocks
from datascaler.data.read.logged_samples import logged_samples
from datascaler.data.read.places import Places
from datascaler.data.read.rows_alone import RowsAtUse, rows_alone
from datascaler.errors import NotFoundError
from datascaler.safe_text import safe_message

REMOTE_REQUEST_BYTES = 256 << 10
"""What a request to an object store costs, in bytes that could be read meanwhile: gaps up to this are read along.

By CPU alone it would be 0.4 MB (obstore) to 1.4 MB (s3fs); this spends a little more of it to move fewer bytes.
"""
LOCAL_REQUEST_BYTES = 16 << 10
_PACKING = 2
"""The form of samples in the cache; what an earlier version kept is not looked for."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class BlockRequest:
    """What is wanted of a block, and where it lies."""

    number: int
    block: Block
    url: str
    is_local: bool
    rows: NDArray[np.int64]
    """The row of each draw."""
    kept: NDArray[np.int64]
    """The distinct kept rows of the block, ascending."""
    wanted: NDArray[np.int64]
    """Those among them that are drawn."""
    ranges: NDArray[np.int64] | None = None
    """Bytes [start, end) of each wanted row, [k, 2], if it is known and cheaper to read these than the whole block."""
    is_planned: bool = True
    """Whether the ranges are the plan's. Others were found when the block was read before."""
    is_whole: bool = False
    """Whether the whole block is read even so."""

    @property
    def size(self) -> int:
        """About how many bytes the samples take."""
        return (self.block.end - self.block.start) * len(self.rows) // (self.block.end_row - self.block.first_row)

    @property
    def whole(self) -> Piece:
        return Piece(self.block.start, self.block.end, self.block.first_row, self.block.end_row)


@dataclass(slots=True)
class BlockReader:
    """Reads blocks of a plan from the pool; safe to share between threads."""

    plan: Plan
    shards: Sequence[Shard]
    cache: BlockCache | None = None
    places: Places | None = None
    _warned: set[int] = field(default_factory=set)
    """Shards that a warning was given about."""
    _local: LocalBlocks = field(default_factory=LocalBlocks)

    def samples(self, number: int, first: int, last: int) -> list[Sample]:
        """The draws [first, last) of a block: its kept samples in tar order, then their copies (`copy_parts`).

        One that can't be read stands there with status DAMAGED_TAR and no image: a fault never shifts the order.
        """
        return self.answer(self.request(number, first, last))

    def request(self, number: int, first: int, last: int) -> BlockRequest:
        """What is to be read for these draws."""
        block = self.plan.block(number)
        every = self.plan.kept_rows(block.shard, block.first_row, block.end_row - block.first_row)
        at: slice | NDArray[np.int64]
        """Where the wanted rows stand among the kept ones, which are [first, last) of them."""
        if self.plan.has_repeats:
            kept, rows = _distinct(every), by_copy(every)[first:last]
            wanted = np.unique(rows)
            at = np.searchsorted(kept, wanted)
            first, last = int(at[0]), int(at[-1]) + 1
        else:
            kept, rows = every, every[first:last]
            wanted, at = rows, slice(first, last)
        url = self.shards[block.shard].url
        request = BlockRequest(number, block, url, storage.is_local(url), rows, kept, wanted)
        ranges = self.plan.ranges(number, block)
        if ranges is None and self.places and request.is_local:
            request.is_planned = False
            ranges = self.places.get(number, block, first, last)
            at = slice(None) if isinstance(at, slice) else at - first
        if ranges is not None and _is_cheaper(ranges[at], block, is_local=request.is_local):
            request.ranges = ranges[at]
        return request

    def at_use(self, request: BlockRequest) -> Callable[[int], Sample]:
        """What gives the k-th of the samples that `answer` would: of a local shard, if it can, by reading it then."""
        block, ranges = request.block, request.ranges
        size = block.end - block.start
        if ranges is None or self.cache or not request.is_local:
            return self.answer(request).__getitem__
        if not request.is_planned and not self._local.prefers_rows(size):
            request.is_whole = True
            return self.answer(request).__getitem__
        places = ranges[np.searchsorted(request.wanted, request.rows)] if self.plan.has_repeats else ranges
        # Where the plan says where rows lie they are read alone in any case.
        took = None if request.is_planned else partial(self._local.took_alone, size)
        return RowsAtUse(
            request.url, request.rows.tolist(), places.tolist(), partial(self.answer, request), took
        ).sample

    def expect(self, request: BlockRequest) -> None:
        """Have the system read ahead what is to be read of a local file."""
        block, ranges = request.block, request.ranges
        parts = [(block.start, block.end)]
        if ranges is not None:
            parts = [piece[:2] for piece in _coalesced(ranges, request.wanted, LOCAL_REQUEST_BYTES)]
        with suppress(NotFoundError):  # reading it will say so
            storage.expect_local(request.url, parts)

    def answer(self, request: BlockRequest) -> list[Sample]:
        """The samples as `samples` gives them."""
        block, kept = request.block, request.kept
        found = self._cached(block, kept)
        fault = ""
        if found is None:
            found, fault = self._read(request)
            if fault:
                self._warn(block, fault, is_logged=self.plan.row_uids(block.shard, request.wanted) is not None)
            elif len(request.wanted) == len(kept):
                self._keep(block, kept, found)
        return [found.get(row) or _missing(row, fault) for row in request.rows.tolist()]

    def _read(self, request: BlockRequest) -> tuple[dict[int, Sample], str]:
        block, url, rows, ranges = request.block, request.url, request.wanted.tolist(), request.ranges
        uids = self.plan.row_uids(block.shard, request.wanted)
        try:
            if uids is not None:
                return logged_samples(self._content(request), request.whole, rows, uids)
            if request.is_local and ranges is not None and request.is_planned:
                return rows_alone(url, ranges.tolist(), rows)
            if request.is_local:
                found = self._local.kept(url, request.whole, rows, ranges, whole=request.is_whole)
                self._learn(request, found[0])
                return found
            if ranges is None:
                return kept_samples(self._content(request), request.whole, rows)
            pieces = list(_coalesced(ranges, request.wanted, REMOTE_REQUEST_BYTES))
            return kept_in_pieces(storage.read_ranges(url, [piece[:2] for piece in pieces]), pieces, rows)
        except NotFoundError as error:
            return {}, str(error)

    def _content(self, request: BlockRequest) -> bytes | memoryview:
        """All of the block; of a local one until the next read of this thread."""
        if request.is_local:
            return self._local.whole(request.url, request.whole)
        return storage.read_ranges(request.url, [(request.block.start, request.block.end)])[0]

    def _learn(self, request: BlockRequest, found: dict[int, Sample]) -> None:
        """Where rows of a block lie, once all that are wanted were seen in it."""
        wanted, kept = request.wanted, request.kept
        if not self.places or request.is_planned or request.ranges is not None or len(found) < len(wanted):
            return
        first = int(np.searchsorted(kept, wanted[0]))
        if np.array_equal(kept[first : first + len(wanted)], wanted):
            ranges = [(found[row].offset, found[row].offset + found[row].length) for row in wanted.tolist()]
            self.places.put(request.number, request.block, first, np.array(ranges, np.int64))

    def close(self) -> None:
        if self.places:
            self.places.close()

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
            _log.warning("%s %s, in %s: %s; others take the place", safe_message(url), what, place, safe_message(fault))


def _distinct(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Ascending rows, each once."""
    again = rows[1:] == rows[:-1]
    return np.concatenate([rows[:1], rows[1:][~again]]) if again.any() else rows


def _coalesced(ranges: NDArray[np.int64], rows: NDArray[np.int64], gap: int) -> Iterator[Piece]:
    """Ranges [k, 2] of ascending rows [k] -> pieces; what lies between two ranges is read along if it is short."""
    numbers = rows.tolist()
    first = last = numbers[0]
    (start, end), *others = ranges.tolist()
    for row, (next_start, next_end) in zip(numbers[1:], others, strict=True):
        if next_start - end > gap:
            yield Piece(start, end, first, last + 1)
            start, first = next_start, row
        end, last = next_end, row
    yield Piece(start, end, first, last + 1)


def _is_cheaper(ranges: NDArray[np.int64], block: Block, *, is_local: bool) -> bool:
    """Whether reading ranges [k, 2] costs less than the whole block, where a request costs as much as so many bytes.

    Local rows that are longer than that are read alone even if they fill the block: they need not be found in it.
    """
    request_bytes = LOCAL_REQUEST_BYTES if is_local else REMOTE_REQUEST_BYTES
    starts, ends = ranges.T
    own_bytes = int(ends.sum() - starts.sum())
    if is_local and own_bytes >= request_bytes * len(ranges):
        return True
    # What lies between two ranges is read along, or costs a request.
    between = np.minimum(starts[1:] - ends[:-1], request_bytes)
    return own_bytes + int(between.sum()) < block.end - block.start


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
