"""The plan: which rows of which shard to train on, as bitmaps, and which byte ranges (blocks) hold them.

It is the subset compiled for one pool: a quarter of a byte per pool sample where a list of uids takes 16 and a Python
set 100.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datascaler.data.plan.copy_parts import CopyParts, copy_parts
from datascaler.data.pool.shards import Shard, is_version, pool_digest, same_content
from datascaler.errors import ConfigError
from datascaler.tools.ordered_map import read_in_order

PLAN_BLOCK_BYTES = 4 << 20
"""Upper size of a block: one request to an object store, and a piece that several streams can share.

Only a sample that is longer by itself, or a shard whose offsets nobody knows, makes a longer one.
"""
UNIT_BYTES = 512
"""The unit of all positions in a plan: tar headers begin at multiples of it."""
RANGES_BELOW = 0.25
"""Kept fraction of a shard below which a plan says where each kept row lies, so that it can be read alone."""

_READERS = 16


@dataclass(frozen=True)
class Plan:
    """Arrays over s shards and b blocks; bits, blocks and ranges of a shard lie together, in shard order.

    `block_start` is in UNIT_BYTES, `block_kept` counts repeats. A range is a distinct kept row: its start relative to
    its block and its length in UNIT_BYTES, where 0 is "to the end of the block"; shards that keep much, and no row
    twice, have none.
    `row_uid` is for shards whose rows were read in a log beside them. Nobody has compared it with the tar, so the
    reader goes by the uid, and a row number is only where it looks first: these are the `uid_digests` of each distinct
    kept row, zeros for other shards; no entries at all where no shard needs them.
    """

    pool_digest: str
    subset_digest: str
    """Empty when the whole pool is kept."""
    wanted: int
    """Uids in the subset, or samples in the pool; with repeats."""
    arrays: dict[str, NDArray[Any]]

    @cached_property
    def shards(self) -> list[Shard]:
        """The pinned shards, without URLs: a plan belongs to a pool wherever it is stored."""
        rows = json.loads(self.arrays["shard_list"].tobytes())
        return [Shard("", *row) for row in rows]

    @property
    def samples(self) -> int:
        """Kept samples, repeats counted: the size of an epoch."""
        return int(self.arrays["block_kept"].sum(dtype=np.int64))

    @property
    def rows(self) -> int:
        return int(self.arrays["shard_rows"].sum(dtype=np.int64))

    @property
    def order_digest(self) -> str:
        """Names what the order of training depends on: a plan made anew from other tables may cut other blocks."""
        digest = sha256(np.ascontiguousarray(self.arrays["block_kept"]).data)
        for name in ("repeat_shard", "repeat_row", "repeat_count", "row_uid"):
            digest.update(np.ascontiguousarray(self.arrays[name]).data)
        return digest.hexdigest()[:16]

    @property
    def kept_bytes(self) -> float:
        """Bytes of the distinct kept samples, if those of a block were all of one size."""
        blocks = self.arrays["shard_blocks"].astype(np.int64)
        full = np.flatnonzero(np.diff(blocks))
        starts = self.arrays["block_start"].astype(np.int64) * UNIT_BYTES
        ends = np.append(starts[1:], 0)
        ends[blocks[full + 1] - 1] = self.arrays["shard_end"][full]
        distinct = self.arrays["block_kept"].astype(np.int64)
        np.subtract.at(distinct, self._repeat_blocks, self.arrays["repeat_count"].astype(np.int64) - 1)
        return float(((ends - starts) / np.diff(self._block_rows, append=self.rows) * distinct).sum())

    @property
    def has_repeats(self) -> bool:
        """Whether any sample is kept several times."""
        return len(self.arrays["repeat_shard"]) > 0

    @property
    def copies(self) -> CopyParts | None:
        """How the copies of repeated samples are drawn apart from one another."""
        if not self.has_repeats:
            return None
        return copy_parts(self.arrays["block_kept"], self._repeat_blocks, self.arrays["repeat_count"])

    @property
    def _repeat_blocks(self) -> NDArray[np.int64]:
        """The block of each repeated row."""
        rows_before = np.concatenate([[0], np.cumsum(self.arrays["shard_rows"], dtype=np.int64)])
        repeated = rows_before[self.arrays["repeat_shard"]] + self.arrays["repeat_row"]
        blocks: NDArray[np.int64] = np.searchsorted(self._block_rows, repeated, side="right") - 1
        return blocks

    @property
    def _block_rows(self) -> NDArray[np.int64]:
        """The first row of each block, counted through all shards."""
        rows_before = np.concatenate([[0], np.cumsum(self.arrays["shard_rows"], dtype=np.int64)])
        blocks: NDArray[np.int64] = np.diff(self.arrays["shard_blocks"].astype(np.int64)).astype(np.int64)
        return np.repeat(rows_before[:-1], blocks) + self.arrays["block_row"].astype(np.int64)

    def kept_rows(self, shard: int, first: int, count: int) -> NDArray[np.int64]:
        """Kept rows among `count` rows of a shard from `first` on, ascending; a repeated row appears that often."""
        rows = np.flatnonzero(self._bits(shard, first, count)) + first
        return np.repeat(rows, self._counts(shard, rows)) if self.has_repeats else rows

    def block(self, number: int) -> "Block":
        # Of the array's own type: a Python int would have the whole array converted at every call.
        shard = int(np.searchsorted(self.arrays["shard_blocks"], np.uint64(number), side="right")) - 1
        starts, rows = self.arrays["block_start"], self.arrays["block_row"]
        last = number + 1 == int(self.arrays["shard_blocks"][shard + 1])
        end_row = int(self.arrays["shard_rows"][shard]) if last else int(rows[number + 1])
        end = int(self.arrays["shard_end"][shard]) if last else int(starts[number + 1]) * UNIT_BYTES
        start = int(starts[number]) * UNIT_BYTES
        return Block(shard=shard, start=start, end=end, first_row=int(rows[number]), end_row=end_row)

    def ranges(self, number: int, block: "Block | None" = None) -> NDArray[np.int64] | None:
        """Bytes [start, end) of the shard for each distinct kept row of a block, [k, 2]; None where none are stored.

        `block` is the block of this number, if it is at hand.
        """
        if not len(self.arrays["range_start"]):
            return None
        block = block or self.block(number)
        first, last = self.arrays["shard_ranges"][block.shard : block.shard + 2].tolist()
        if first == last:
            return None
        first += self._distinct(block.shard, 0, block.first_row)
        inside = slice(first, first + self._distinct(block.shard, block.first_row, block.end_row))
        lengths = self.arrays["range_length"][inside]
        ranges = np.empty((len(lengths), 2), np.int64)
        ranges[:, 0] = self.arrays["range_start"][inside]
        ranges[:, 1] = ranges[:, 0] + lengths
        ranges *= UNIT_BYTES
        ranges += block.start
        ranges[lengths == 0, 1] = block.end
        return ranges

    def _distinct(self, shard: int, first: int, end: int) -> int:
        """How many of a shard's rows [first, end) are kept."""
        start = int(self.arrays["shard_bits"][shard])
        piece = self.arrays["bits"][start + first // 8 : start + (end + 7) // 8]
        # Counted as one whole number, without unpacking.
        number = int.from_bytes(piece.tobytes(), "little") >> first % 8
        return (number & ((1 << (end - first)) - 1)).bit_count()

    def row_uids(self, shard: int, rows: NDArray[np.int64]) -> NDArray[np.uint64] | None:
        """The digest of the uid of each of these kept rows of a shard; None where its rows are known from the tar."""
        if not len(self.arrays["row_uid"]):
            return None
        kept = np.flatnonzero(self._bits(shard, 0, int(self.arrays["shard_rows"][shard])))
        digests = self.arrays["row_uid"][self._distinct_before[shard] + np.searchsorted(kept, rows)]
        return digests if digests.any() else None

    @cached_property
    def _distinct_before(self) -> NDArray[np.int64]:
        """Distinct kept rows before each of s shards, and of all: [s + 1]."""
        kept = np.concatenate([[0], np.cumsum(self.arrays["block_kept"], dtype=np.int64)])
        again = np.concatenate([[0], np.cumsum(self.arrays["repeat_count"].astype(np.int64) - 1)])
        shards = np.arange(len(self.arrays["shard_blocks"]), dtype=np.uint32)
        repeats = np.searchsorted(self.arrays["repeat_shard"], shards)
        before: NDArray[np.int64] = kept[self.arrays["shard_blocks"].astype(np.int64)] - again[repeats]
        return before

    def _bits(self, shard: int, first: int, count: int) -> NDArray[np.uint8]:
        """[count] ones and zeros, from row `first` on: whether each row is kept."""
        start = int(self.arrays["shard_bits"][shard])
        piece = self.arrays["bits"][start + first // 8 : start + (first + count + 7) // 8]
        return np.unpackbits(piece, bitorder="little")[first % 8 : first % 8 + count]

    def _counts(self, shard: int, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """How often each of these kept rows is wanted."""
        first, last = np.searchsorted(self.arrays["repeat_shard"], np.array([shard, shard + 1], np.uint32))
        repeated = self.arrays["repeat_row"][first:last]
        among = np.isin(repeated, rows)
        counts = np.ones(len(rows), dtype=np.int64)
        counts[np.searchsorted(rows, repeated[among])] = self.arrays["repeat_count"][first:last][among]
        return counts


@dataclass(frozen=True, slots=True)
class Block:
    """Rows [first_row, end_row) of a shard, in its bytes [start, end)."""

    shard: int
    start: int
    end: int
    first_row: int
    end_row: int


def match_shards(plan: Plan, shards: Sequence[Shard]) -> list[Shard]:
    """The pool's shards in the plan's order. A shard that is missing or has changed fails now, not at step 40,000."""
    by_name = {shard.name: shard for shard in shards}
    pairs = [(pinned, by_name.get(pinned.name)) for pinned in plan.shards]
    # One that was copied to another store is looked into.
    copies = [(pinned, shard) for pinned, shard in pairs if shard and not same_content(pinned, shard)]
    is_same = dict(
        zip((pinned.name for pinned, _ in copies), read_in_order(_is_planned, copies, _READERS), strict=True)
    )
    matched = []
    for pinned, shard in pairs:
        if shard is None:
            raise ConfigError(f"the plan needs shard {pinned.name}, which this pool does not have")
        if not is_same.get(pinned.name, True):
            raise ConfigError(
                f"shard {shard.url} is not the one that the plan was made from (size {shard.size}, etag "
                f"{shard.etag!r}; planned: {pinned.size}, {pinned.etag!r}); make the plan anew"
            )
        matched.append(shard)
    return matched


def is_of_pool(plan: Plan, shards: Sequence[Shard]) -> bool:
    """Whether a plan was made from just these shards, or from those that they are copies of."""
    if plan.pool_digest == pool_digest(shards):
        return True
    if len(plan.shards) != len(shards):
        return False
    try:
        match_shards(plan, shards)
    except ConfigError:
        return False
    return True


def _is_planned(pair: tuple[Shard, Shard]) -> bool:
    pinned, shard = pair
    return is_version(shard, pinned.size, pinned.etag, pinned.digest)
