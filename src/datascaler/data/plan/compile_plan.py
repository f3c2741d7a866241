"""Subset + what is known of every shard -> plan."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from datascaler.data.plan.arrays import PlanArrays
from datascaler.data.plan.plan import PLAN_BLOCK_BYTES, Plan
from datascaler.data.plan.shard_rows import ShardRows, rows_of_table
from datascaler.data.pool.shards import Shard
from datascaler.data.pool.uids import find_sorted, uid_pairs
from datascaler.data.subset.multiset import distinct_counts, first_of_each
from datascaler.data.subset.subset import subset_digest
from datascaler.progress import progress
from datascaler.tools.ordered_map import read_in_order

_READERS = 8
"""More than cores: they wait for an object store most of the time."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of the subset the pool has."""

    wanted: int
    """Uids that the subset asks for, repeats counted."""
    present: int
    """How many of these the pool has in good state."""
    duplicate_rows: int
    """Further rows of the pool with a uid that an earlier row has: they are not used."""

    @property
    def fraction(self) -> float:
        return self.present / self.wanted if self.wanted else 0.0


def build_plan(shards: list[Shard], tables_folder: str, uids: NDArray[np.void] | None) -> tuple[Plan, Coverage]:
    """The plan of a pool that has a score or index table for every shard. For `uids` see `compile_plan`."""
    return compile_plan(shards, partial(rows_of_table, tables_folder), uids)


def compile_plan(
    shards: list[Shard], rows_of: Callable[[Shard], ShardRows], uids: NDArray[np.void] | None
) -> tuple[Plan, Coverage]:
    """Compile a subset (`u8,u8`, ascending, repeats allowed; None keeps everything) for a pool.

    `rows_of` is called by several threads; what it raises is raised here. Rows count only if they are usable. Where
    the pool holds a uid twice, its first row in the order of `shards` is used, whichever thread came first.
    """
    wanted = None if uids is None else _Wanted.of(uids)
    arrays = PlanArrays()
    duplicates = 0
    with progress(len(shards), "plan", unit="shard") as bar:
        looked = read_in_order(partial(_look, rows_of=rows_of, wanted=wanted), shards, _READERS)
        for shard, look in zip(shards, looked, strict=True):
            if wanted is None:
                counts = look.rows.usable.astype(np.int64)
            else:
                counts, again = wanted.take(look)
                duplicates += again
            arrays.add_shard(shard, look.rows, look.first_rows, counts)
            bar.update()
    total = arrays.kept if wanted is None else wanted.total
    plan = arrays.plan("" if uids is None else subset_digest(uids), total)
    return plan, Coverage(wanted=total, present=arrays.kept, duplicate_rows=duplicates)


@dataclass(frozen=True, slots=True)
class _Look:
    """What a thread finds out of a shard for itself, without the shards before it."""

    rows: ShardRows
    first_rows: NDArray[np.int64]
    """The first row of each block."""
    hits: NDArray[np.int64]
    """[k] usable rows that the subset wants, the first of each uid, ascending."""
    places: NDArray[np.int64]
    """[k] their places in the subset."""
    duplicates: int
    """Further rows with these uids."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """The subset's distinct uids as columns, with how often each is wanted and whether a row was found for it."""

    high: NDArray[np.uint64]
    low: NDArray[np.uint64]
    counts: NDArray[np.int64] | None
    """None where each is wanted once."""
    taken: NDArray[np.bool_]
    total: int

    @classmethod
    def of(cls, uids: NDArray[np.void]) -> "_Wanted":
        counts = None
        total = len(uids)
        if not first_of_each(uids).all():
            uids, counts = distinct_counts(uids)
        # The low halves are looked at for hits only, so they may stay where they are: in a mapped file, if it is one.
        return cls(np.ascontiguousarray(uids["f0"]), uids["f1"], counts, np.zeros(len(uids), dtype=bool), total)

    def take(self, look: _Look) -> tuple[NDArray[np.int64], int]:
        """How often each row of the shard is to be kept [n], and how many rows repeat a uid that was taken before."""
        fresh = ~self.taken[look.places]
        places = look.places[fresh]
        self.taken[places] = True
        counts = np.zeros(len(look.rows.usable), dtype=np.int64)
        counts[look.hits[fresh]] = 1 if self.counts is None else self.counts[places]
        return counts, look.duplicates + len(fresh) - len(places)


def _look(shard: Shard, rows_of: Callable[[Shard], ShardRows], wanted: _Wanted | None) -> _Look:
    rows = rows_of(shard)
    none = np.empty(0, np.int64)
    if wanted is None:
        return _Look(rows, _first_rows(rows), none, none, 0)
    at = find_sorted(uid_pairs(rows.high, rows.low), wanted.high, wanted.low)
    found = np.flatnonzero((at >= 0) & rows.usable)
    _, first = np.unique(at[found], return_index=True)
    hits = found[np.sort(first)]
    return _Look(rows, _first_rows(rows), hits, at[hits], len(found) - len(hits))


def _first_rows(rows: ShardRows) -> NDArray[np.int64]:
    """The first row of each block of at most BLOCK_BYTES; where offsets are unknown there is one block."""
    if rows.starts is None or rows.ends is None:
        return np.zeros(min(1, len(rows.usable)), np.int64)
    first_rows = []
    row = 0
    while row < len(rows.starts):
        first_rows.append(row)
        row = max(row + 1, int(np.searchsorted(rows.ends, rows.starts[row] + PLAN_BLOCK_BYTES, side="right")))
    return np.array(first_rows, np.int64)
