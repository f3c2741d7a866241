"""Subset + tables (scores or index) -> plan."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from datascaler.data.plan import BLOCK_BYTES, Plan
from datascaler.data.pool import Shard, pool_digest
from datascaler.data.samples import OK
from datascaler.data.score_table import read_table, table_url
from datascaler.data.subset import subset_digest
from datascaler.data.uids import find_sorted, uid_pairs
from datascaler.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of the subset the pool has."""

    wanted: int
    """Uids that the subset asks for, repeats counted."""
    present: int
    """Of these, found in the pool in good state."""
    duplicate_rows: int
    """Further rows of the pool with a uid that an earlier row has: they are not used."""

    @property
    def fraction(self) -> float:
        return self.present / self.wanted if self.wanted else 0.0


def build_plan(shards: list[Shard], tables_folder: str, uids: NDArray[np.void] | None) -> tuple[Plan, Coverage]:
    """Compile a subset (`u8,u8`, ascending, repeats allowed; None keeps everything) for a pool with tables.

    Rows count only if their status is ok. Where the pool holds a uid twice, its first row is used.
    """
    wanted = None if uids is None else _Wanted.of(uids)
    builder = _Builder()
    duplicates = 0
    for number, shard in enumerate(shards):
        table, footer = read_table(
            table_url(tables_folder, shard), ["uid_high", "uid_low", "status", "offset", "length"]
        )
        if (footer.size, footer.etag) != (shard.size, shard.etag):
            raise ConfigError(
                f"the table of {shard.name} in {tables_folder} was made from another version of the shard"
            )
        usable = table["status"].to_numpy() == OK
        counts = usable.astype(np.int64)
        if wanted is not None:
            pairs = uid_pairs(table["uid_high"].to_numpy(), table["uid_low"].to_numpy())
            counts, again = wanted.take(pairs, usable)
            duplicates += again
        builder.add_shard(number, table, counts)
    total = builder.kept if wanted is None else wanted.total
    plan = builder.plan(shards, "" if uids is None else subset_digest(uids), total)
    return plan, Coverage(wanted=total, present=plan.samples, duplicate_rows=duplicates)


@dataclass
class _Wanted:
    """The subset as columns of distinct uids, with how often each is wanted and whether a row was found for it."""

    high: NDArray[np.uint64]
    low: NDArray[np.uint64]
    counts: NDArray[np.int64]
    taken: NDArray[np.bool_]
    total: int

    @classmethod
    def of(cls, uids: NDArray[np.void]) -> "_Wanted":
        first = np.ones(len(uids), dtype=bool)
        first[1:] = uids[1:] != uids[:-1]
        starts = np.flatnonzero(first)
        counts = np.diff(np.append(starts, len(uids)))
        distinct = uids[starts]
        high, low = np.ascontiguousarray(distinct["f0"]), np.ascontiguousarray(distinct["f1"])
        return cls(high, low, counts, np.zeros(len(distinct), dtype=bool), len(uids))

    def take(self, pairs: NDArray[np.void], usable: NDArray[np.bool_]) -> tuple[NDArray[np.int64], int]:
        """How often each row [n] is to be kept, and how many rows repeat a uid that was taken before."""
        at = find_sorted(pairs, self.high, self.low)
        rows = np.flatnonzero((at >= 0) & usable)
        _, first_in_shard = np.unique(at[rows], return_index=True)
        first_rows = rows[np.sort(first_in_shard)]
        fresh = first_rows[~self.taken[at[first_rows]]]
        self.taken[at[fresh]] = True
        counts = np.zeros(len(pairs), dtype=np.int64)
        counts[fresh] = self.counts[at[fresh]]
        return counts, len(rows) - len(fresh)


class _Builder:
    """Collects the arrays of a plan, shard after shard."""

    def __init__(self) -> None:
        self.kept = 0
        self._rows: list[int] = []
        self._ends: list[int] = []
        self._bits: list[NDArray[np.uint8]] = []
        self._repeats: list[NDArray[np.int64]] = []
        self._blocks: list[NDArray[np.int64]] = []

    def add_shard(self, number: int, table: pa.Table, counts: NDArray[np.int64]) -> None:
        offsets = table["offset"].to_numpy().astype(np.int64)
        ends = offsets + table["length"].to_numpy().astype(np.int64)
        self.kept += int(counts.sum())
        self._rows.append(len(counts))
        self._ends.append(int(ends[-1]) if len(ends) else 0)
        self._bits.append(np.packbits(counts > 0, bitorder="little"))
        repeated = np.flatnonzero(counts > 1)
        self._repeats.append(np.stack([np.full(len(repeated), number), repeated, counts[repeated]], axis=1))
        self._blocks.append(_blocks(offsets, ends, counts))

    def plan(self, shards: list[Shard], digest: str, wanted: int) -> Plan:
        repeats = np.concatenate([np.empty((0, 3), np.int64), *self._repeats])
        blocks = np.concatenate([np.empty((0, 3), np.int64), *self._blocks])
        names = json.dumps([[shard.name, shard.size, shard.etag] for shard in shards]).encode()
        arrays: dict[str, NDArray[Any]] = {
            "shard_rows": np.array(self._rows, np.uint32),
            "shard_bits": _starts([len(bits) for bits in self._bits]),
            "shard_end": np.array(self._ends, np.uint64),
            "shard_blocks": _starts([len(blocks) for blocks in self._blocks]),
            "bits": np.concatenate([np.empty(0, np.uint8), *self._bits]),
            "repeat_shard": repeats[:, 0].astype(np.uint32),
            "repeat_row": repeats[:, 1].astype(np.uint32),
            "repeat_count": repeats[:, 2].astype(np.uint32),
            "block_start": blocks[:, 0].astype(np.uint64),
            "block_row": blocks[:, 1].astype(np.uint32),
            "block_kept": blocks[:, 2].astype(np.uint32),
            "shard_list": np.frombuffer(names, np.uint8),
        }
        return Plan(pool_digest(shards), digest, wanted, arrays)


def _blocks(offsets: NDArray[np.int64], ends: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """[n] samples of a shard -> [b, 3]: first byte, first row and kept samples of each block of at most BLOCK_BYTES."""
    first_rows = []
    row = 0
    while row < len(offsets):
        first_rows.append(row)
        row = max(row + 1, int(np.searchsorted(ends, offsets[row] + BLOCK_BYTES, side="right")))
    if not first_rows:
        return np.empty((0, 3), np.int64)
    kept = np.add.reduceat(counts, first_rows)
    return np.stack([offsets[first_rows], np.array(first_rows), kept], axis=1)


def _starts(lengths: list[int]) -> NDArray[np.uint64]:
    """Lengths [s] -> start positions [s + 1], the total last."""
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.uint64)
