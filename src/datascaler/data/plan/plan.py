"""The plan: which rows of which shard to train on, as bitmaps, and which byte ranges (blocks) hold them.

It is the subset compiled for one pool: a quarter of a byte per pool sample where a list of uids takes 16 and a Python
set 100. On disk it is a safetensors file: a JSON header and raw arrays, so it opens by mapping it into memory, and all
loader workers of a node share the pages.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from datascaler import storage
from datascaler.data.plan.copy_parts import CopyParts, copy_parts
from datascaler.data.pool.shards import Shard, is_version
from datascaler.errors import ConfigError

PLAN_VERSION = 3
PLAN_BLOCK_BYTES = 4 << 20
"""Upper size of a block: one request to an object store, and a piece that several streams can share.

Only a sample that is longer by itself, or a shard whose offsets nobody knows, makes a longer one.
"""
UNIT_BYTES = 512
"""Of all positions in a plan: tar headers begin at multiples of it."""
RANGES_BELOW = 0.25
"""Kept fraction of a shard below which a plan says where each kept row lies, so that it can be read alone."""

# Sizes fall, so that every array of a mapped file is aligned.
_ARRAYS = {
    "shard_bits": np.uint64,
    "shard_end": np.uint64,
    "shard_blocks": np.uint64,
    "shard_ranges": np.uint64,
    "row_uid": np.uint64,
    "shard_rows": np.uint32,
    "repeat_shard": np.uint32,
    "repeat_row": np.uint32,
    "repeat_count": np.uint32,
    "block_start": np.uint32,
    "block_row": np.uint32,
    "block_kept": np.uint32,
    "range_start": np.uint16,
    "range_length": np.uint16,
    "bits": np.uint8,
    "shard_list": np.uint8,
}
_TOTALS = {
    "bits": "shard_bits",
    "block_start": "shard_blocks",
    "block_row": "shard_blocks",
    "block_kept": "shard_blocks",
    "range_start": "shard_ranges",
    "range_length": "shard_ranges",
}
"""Array -> the one that says how many entries of it each shard has."""


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
        return [Shard(url="", name=name, size=size, etag=etag) for name, size, etag in rows]

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
    def copies(self) -> CopyParts | None:
        """How the copies of repeated samples are drawn apart from one another."""
        if not len(self.arrays["repeat_shard"]):
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
        return np.repeat(rows, self._counts(shard, rows)) if len(self.arrays["repeat_shard"]) else rows

    def block(self, number: int) -> "Block":
        # Of the array's own type: a Python int would have the whole array converted at every call.
        shard = int(np.searchsorted(self.arrays["shard_blocks"], np.uint64(number), side="right")) - 1
        starts, rows = self.arrays["block_start"], self.arrays["block_row"]
        last = number + 1 == int(self.arrays["shard_blocks"][shard + 1])
        end_row = int(self.arrays["shard_rows"][shard]) if last else int(rows[number + 1])
        end = int(self.arrays["shard_end"][shard]) if last else int(starts[number + 1]) * UNIT_BYTES
        start = int(starts[number]) * UNIT_BYTES
        return Block(shard=shard, start=start, end=end, first_row=int(rows[number]), end_row=end_row)

    def ranges(self, number: int) -> NDArray[np.int64] | None:
        """Bytes [start, end) of the shard for each distinct kept row of a block, [k, 2]; None where none are stored."""
        if not len(self.arrays["range_start"]):
            return None
        block = self.block(number)
        first, last = (int(total) for total in self.arrays["shard_ranges"][block.shard : block.shard + 2])
        if first == last:
            return None
        bits = self._bits(block.shard, 0, block.end_row)
        before = first + np.count_nonzero(bits[: block.first_row])
        inside = slice(before, before + np.count_nonzero(bits[block.first_row :]))
        starts = block.start + self.arrays["range_start"][inside].astype(np.int64) * UNIT_BYTES
        lengths = self.arrays["range_length"][inside].astype(np.int64) * UNIT_BYTES
        return np.stack([starts, np.where(lengths == 0, block.end, starts + lengths)], axis=1)

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


def write_plan(url: str, plan: Plan) -> None:
    """Publish a plan; array after array, since a large one must not be in memory twice."""
    metadata = {
        "plan_version": str(PLAN_VERSION),
        "pool_digest": plan.pool_digest,
        "subset_digest": plan.subset_digest,
        "wanted": str(plan.wanted),
    }
    header: dict[str, Any] = {"__metadata__": metadata}
    end = 0
    for name in _ARRAYS:
        array = plan.arrays[name]
        start, end = end, end + array.nbytes
        bits = 8 * array.dtype.itemsize
        header[name] = {"dtype": f"U{bits}", "shape": [len(array)], "data_offsets": [start, end]}
    metadata["crc32"] = _checksum(header, [plan.arrays[name] for name in _ARRAYS])
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with storage.publish(url) as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in _ARRAYS:
            file.write(np.ascontiguousarray(plan.arrays[name]).data)


def open_plan(path: Path, *, checked: bool = False) -> Plan:
    """Map a plan file that lies on a local disk, and compare its checksum, at some 2 GB/s.

    checked: for the many processes that share a plan; the one that gave it to them has compared it.
    """
    try:
        with path.open("rb") as file:
            header_bytes = int.from_bytes(file.read(8), "little")
            if header_bytes > 1 << 20:
                raise ValueError("header too long")
            header = json.loads(file.read(header_bytes))
        meta = header["__metadata__"]
        if meta["plan_version"] != str(PLAN_VERSION):
            raise ValueError(f"version {meta['plan_version']}, this code reads {PLAN_VERSION}")
        content = np.memmap(path, mode="r", dtype=np.uint8, offset=8 + header_bytes).view(np.ndarray)
        spans = {name: header[name]["data_offsets"] for name in _ARRAYS}
        if max(end for _, end in spans.values()) != len(content):
            raise ValueError("cut short, or longer than its header says")
        arrays = {name: content[start:end].view(_ARRAYS[name]) for name, (start, end) in spans.items()}
        if not checked and meta.pop("crc32") != _checksum(header, [content]):
            raise ValueError("damaged: its content does not fit its checksum")
        _check_lengths(arrays)
        return Plan(meta["pool_digest"], meta["subset_digest"], int(meta["wanted"]), arrays)
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError, OSError) as error:
        raise ConfigError(f"{path} is not a plan of this version ({error}); build it anew") from error


def read_plan(url: str) -> Plan:
    """A plan wherever it is stored; what was mapped stays valid when a temporary copy goes. Raises as `open_plan`."""
    with storage.local_copy(url) as path:
        return open_plan(path)


def _checksum(header: dict[str, Any], arrays: Sequence[NDArray[Any]]) -> str:
    """The checksum of the header, however it is written, and of the arrays."""
    checksum = crc32(json.dumps(header, sort_keys=True).encode())
    for array in arrays:
        checksum = crc32(np.ascontiguousarray(array).data, checksum)
    return f"{checksum:08x}"


def _check_lengths(arrays: dict[str, NDArray[Any]]) -> None:
    """Whether the arrays speak of the same shards, rows and blocks."""
    shards, repeats = len(arrays["shard_rows"]), len(arrays["repeat_shard"])
    expected = {"shard_end": shards, "repeat_row": repeats, "repeat_count": repeats}
    expected |= dict.fromkeys(("shard_bits", "shard_blocks", "shard_ranges"), shards + 1)
    for name, length in expected.items():
        if len(arrays[name]) != length:
            raise ValueError(f"{name} has {len(arrays[name])} entries, not {length}")
    if len(arrays["row_uid"]):
        distinct = arrays["block_kept"].sum(dtype=np.int64) - arrays["repeat_count"].sum(dtype=np.int64) + repeats
        if len(arrays["row_uid"]) != distinct:
            raise ValueError(f"row_uid has {len(arrays['row_uid'])} entries, not {distinct}")
    for name, totals in _TOTALS.items():
        if len(arrays[name]) != arrays[totals][-1]:
            raise ValueError(f"{name} has {len(arrays[name])} entries, not {arrays[totals][-1]}")


def match_shards(plan: Plan, shards: Sequence[Shard]) -> list[Shard]:
    """The pool's shards in the plan's order. A shard that is missing or has changed fails now, not at step 40,000."""
    by_name = {shard.name: shard for shard in shards}
    matched = []
    for pinned in plan.shards:
        shard = by_name.get(pinned.name)
        if shard is None:
            raise ConfigError(f"the plan needs shard {pinned.name}, which this pool does not have")
        if not is_version(shard, pinned.size, pinned.etag):
            raise ConfigError(
                f"shard {shard.url} is not the one that the plan was made from (size {shard.size}, etag "
                f"{shard.etag!r}; planned: {pinned.size}, {pinned.etag!r}); make the plan anew"
            )
        matched.append(shard)
    return matched
