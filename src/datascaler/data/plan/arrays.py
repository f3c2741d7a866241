"""The arrays of a plan, collected shard after shard."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datascaler.data.plan.plan import RANGES_BELOW, UNIT_BYTES, Plan
from datascaler.data.plan.shard_rows import ShardRows
from datascaler.data.pool.shards import Shard, pool_digest
from datascaler.data.pool.uids import uid_digests
from datascaler.errors import ConfigError

_LONGEST_UNITS = np.iinfo(np.uint16).max
_TO_THE_END = 0
_LARGEST_SHARD_BYTES = np.iinfo(np.uint32).max * UNIT_BYTES


class PlanArrays:
    """What has been collected so far."""

    def __init__(self) -> None:
        self.kept = 0
        self._shards: list[Shard] = []
        self._rows: list[int] = []
        self._ends: list[int] = []
        self._bits: list[NDArray[np.uint8]] = []
        self._repeats: list[NDArray[np.uint32]] = []
        self._blocks: list[NDArray[np.uint32]] = []
        self._ranges: list[NDArray[np.uint16]] = []
        self._uids: list[NDArray[np.uint64]] = []
        self._has_logs = False

    def add_shard(
        self, shard: Shard, rows: ShardRows, first_rows: NDArray[np.int64], counts: NDArray[np.int64]
    ) -> None:
        """Its n rows, the first row of each of its blocks, and how often each row is kept [n]."""
        if shard.size > _LARGEST_SHARD_BYTES:
            raise ConfigError(f"{shard.url} has {shard.size:,} bytes: a plan reaches {_LARGEST_SHARD_BYTES:,} of a tar")
        kept_rows = np.flatnonzero(counts)
        self.kept += int(counts.sum())
        self._repeats.append(_repeats(len(self._shards), kept_rows, counts))
        self._shards.append(replace(shard, digest=shard.content or rows.content))
        self._rows.append(len(counts))
        self._ends.append(_end(shard, rows))
        self._bits.append(np.packbits(counts > 0, bitorder="little"))
        self._blocks.append(_blocks(rows, first_rows, counts))
        self._ranges.append(_ranges(rows, first_rows, kept_rows, counts))
        self._uids.append(_uids(rows, kept_rows))
        self._has_logs |= rows.starts is None

    def plan(self, subset_digest: str, wanted: int) -> Plan:
        repeats = np.concatenate([np.empty((0, 3), np.uint32), *self._repeats])
        blocks = np.concatenate([np.empty((0, 3), np.uint32), *self._blocks])
        ranges = np.concatenate([np.empty((0, 2), np.uint16), *self._ranges])
        names = json.dumps([_pin(shard) for shard in self._shards], separators=(",", ":")).encode()
        arrays: dict[str, NDArray[Any]] = {
            "shard_rows": np.array(self._rows, np.uint32),
            "shard_end": np.array(self._ends, np.uint64),
            "shard_bits": _totals(self._bits),
            "shard_blocks": _totals(self._blocks),
            "shard_ranges": _totals(self._ranges),
            "row_uid": np.concatenate([np.empty(0, np.uint64), *(self._uids if self._has_logs else [])]),
            "bits": np.concatenate([np.empty(0, np.uint8), *self._bits]),
            "shard_list": np.frombuffer(names, np.uint8),
        }
        for columns, table in (
            (("repeat_shard", "repeat_row", "repeat_count"), repeats),
            (("block_start", "block_row", "block_kept"), blocks),
            (("range_start", "range_length"), ranges),
        ):
            arrays |= {name: np.ascontiguousarray(table[:, column]) for column, name in enumerate(columns)}
        return Plan(pool_digest(self._shards), subset_digest, wanted, arrays)


def _pin(shard: Shard) -> list[str | int]:
    """What the plan keeps of a shard; its content where it is known, and the etag is a store's."""
    pin: list[str | int] = [shard.name, shard.size, shard.etag]
    return [*pin, shard.digest] if shard.digest not in ("", shard.etag) else pin


def _end(shard: Shard, rows: ShardRows) -> int:
    """Where the last sample ends, in bytes; of a shard that nobody looked into, the end of the file."""
    if rows.ends is None:
        return shard.size
    return int(rows.ends[-1]) if len(rows.ends) else 0


def _repeats(number: int, kept_rows: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.uint32]:
    repeated = kept_rows[counts[kept_rows] > 1]
    return np.stack([np.full(len(repeated), number), repeated, counts[repeated]], axis=1).astype(np.uint32)


def _blocks(rows: ShardRows, first_rows: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.uint32]:
    """[b, 3]: start, first row, kept samples."""
    if not len(first_rows):
        return np.empty((0, 3), np.uint32)
    starts = np.zeros(1, np.int64) if rows.starts is None else rows.starts[first_rows] // UNIT_BYTES
    return np.stack([starts, first_rows, np.add.reduceat(counts, first_rows)], axis=1).astype(np.uint32)


def _ranges(
    rows: ShardRows, first_rows: NDArray[np.int64], kept_rows: NDArray[np.int64], counts: NDArray[np.int64]
) -> NDArray[np.uint16]:
    """[k, 2]: start in its block and length of each kept row, where they are read alone: few, or as copies."""
    if rows.starts is None or rows.ends is None:
        return np.empty((0, 2), np.uint16)
    if len(kept_rows) >= RANGES_BELOW * len(rows.starts) and not (counts > 1).any():
        return np.empty((0, 2), np.uint16)
    block_starts = rows.starts[first_rows][np.searchsorted(first_rows, kept_rows, side="right") - 1]
    starts = (rows.starts[kept_rows] - block_starts) // UNIT_BYTES
    lengths = -((rows.starts[kept_rows] - rows.ends[kept_rows]) // UNIT_BYTES)
    # Only a block of one row is that long, and it ends with the row.
    lengths[lengths > _LONGEST_UNITS] = _TO_THE_END
    return np.stack([starts, lengths], axis=1).astype(np.uint16)


def _uids(rows: ShardRows, kept_rows: NDArray[np.int64]) -> NDArray[np.uint64]:
    """[k]: whose each kept row is, where nobody looked into the tar; else zeros, which take no memory."""
    if rows.starts is None:
        return uid_digests(rows.high[kept_rows], rows.low[kept_rows])
    return np.broadcast_to(np.uint64(0), len(kept_rows))


def _totals(parts: list[NDArray[Any]]) -> NDArray[np.uint64]:
    """Parts of s shards -> their start positions [s + 1], the total last."""
    return np.concatenate([[0], np.cumsum([len(part) for part in parts])]).astype(np.uint64)
