"""The exact global selection of many score tables, in memory that does not grow with the pool.

One pass counts the upper 16 bits of the scores' keys, which gives the bin that the cut falls into. The next one sends
the uids of rows above that bin to one sort on disk, and those inside it to another, by descending score and ascending
uid, whose first rows are kept: ties need no case of their own. The first sort's rows, merged, are the subset file.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from datascaler.data.pool.uids import uid_pairs
from datascaler.data.select.score_keys import KEY_BITS, score_of_key, sortable_keys
from datascaler.data.select.scored_pool import ScoredPool
from datascaler.data.select.table_pass import each_batch
from datascaler.data.subset.uid_writer import UidWriter
from datascaler.data.tables.npy_files import load_npy
from datascaler.errors import ConfigError
from datascaler.spec.select_rule import Cut, SelectRule
from datascaler.tools.disk_sort import RUN_ROWS, DiskSort

_BIN_BITS = 16
_BIN_SHIFT = np.uint32(KEY_BITS - _BIN_BITS)


@dataclass(frozen=True, slots=True)
class Selection:
    """The outcome of a selection; counts are of rows."""

    path: Path
    """A `.npy` file of the kept uids, `u8,u8`, ascending, each once."""
    threshold: float
    """The lowest kept score, or the threshold that was asked for."""
    rows: int
    """All rows of the pool, bad ones included: what the fraction is a fraction of."""
    usable: int
    """Rows of status ok with a finite score."""
    kept: int
    kept_ties: int
    """Rows kept that score exactly the threshold, of `ties` such rows."""
    ties: int

    @property
    def uids(self) -> NDArray[np.void]:
        """Mapped into memory, not read."""
        return load_npy(self.path, mmap_mode="r")


def select(
    pool: ScoredPool,
    rule: SelectRule,
    scratch: Path,
    *,
    on_table: Callable[[], object] = lambda: None,
    check_size: Callable[[int], object] = lambda _rows: None,
    run_rows: int = RUN_ROWS,
) -> Selection:
    """Keep the rows that the rule names; `scratch` is a local folder for the result and, at 16 bytes a kept row and 20
    a row whose score shares the threshold's upper 16 bits, for what it is sorted from.

    `on_table` is called once per table and pass (`rule.passes` of them), `check_size` with the number of kept rows as
    soon as it is known; it may raise. `run_rows` is what a sort holds in memory.
    """
    better = DiskSort(scratch / "better", ["u8", "u8"], run_rows)
    if rule.threshold is not None:
        rows, usable, ties = _keep_from(pool, rule.threshold, better, on_table)
        if not better.rows:
            raise ConfigError(f"{rule.given} of {rows} rows ({usable} usable) keeps nothing")
        check_size(better.rows)
    else:
        rows, counts = _count(pool, on_table)
        usable = int(counts.sum())
        cut = rule.cut(rows, usable)
        check_size(cut.rows)
        undecided = DiskSort(scratch / "undecided", ["u4", "u8", "u8"], run_rows)
        ties = _keep_best(pool, cut, counts, better, undecided, on_table)
    path = scratch / "selected.npy"
    with UidWriter(path) as writer:
        for high, low in better.chunks():
            writer.add(uid_pairs(high, low))
    return Selection(path, ties.score, rows, usable, better.rows, ties.kept, ties.rows)


class _Ties(NamedTuple):
    """The rows at the threshold."""

    score: float
    kept: int
    rows: int


def _keep_from(
    pool: ScoredPool, threshold: float, better: DiskSort, on_table: Callable[[], object]
) -> tuple[int, int, _Ties]:
    """Put every row from the threshold on into `better`; all rows, the usable ones and those at the threshold."""
    least = int(sortable_keys(np.array([threshold], np.float32))[0])

    def sort_out(batch: range) -> NDArray[np.int64]:
        counts = np.zeros(3, np.int64)
        for table in batch:
            scores, (high, low) = pool.scored_uids(table)
            keys, usable = sortable_keys(scores), ~np.isnan(scores)
            kept = usable & (keys >= least)
            better.add([high[kept], low[kept]])
            counts += len(scores), usable.sum(), (usable & (keys == least)).sum()
        return counts

    rows, usable, ties = sum(each_batch(pool.tables, sort_out, on_table), np.zeros(3, np.int64)).tolist()
    return rows, usable, _Ties(score_of_key(least), kept=ties, rows=ties)


def _keep_best(
    pool: ScoredPool,
    cut: Cut,
    counts: NDArray[np.int64],
    better: DiskSort,
    undecided: DiskSort,
    on_table: Callable[[], object],
) -> _Ties:
    """Put the rows that the cut keeps into `better`; `counts` are those of the upper bits of the pool's keys."""
    bin_of_cut, above = _bin_of_kth_largest(counts, cut.rows)

    def sort_out(batch: range) -> None:
        for table in batch:
            scores, (high, low) = pool.scored_uids(table)
            keys, usable = sortable_keys(scores), ~np.isnan(scores)
            bins = keys >> _BIN_SHIFT
            surely = usable & (bins > bin_of_cut)
            better.add([high[surely], low[surely]])
            perhaps = usable & (bins == bin_of_cut)
            undecided.add([~keys[perhaps], high[perhaps], low[perhaps]])

    for _ in each_batch(pool.tables, sort_out, on_table):
        pass
    return _decide(undecided, Cut(cut.rows - above, cut.with_ties), better)


def _count(pool: ScoredPool, on_table: Callable[[], object]) -> tuple[int, NDArray[np.int64]]:
    """All rows, and the usable ones by the upper bits of their keys."""

    def count(batch: range) -> tuple[int, NDArray[np.int64]]:
        scores = np.concatenate([pool.scores(table) for table in batch])
        bins = sortable_keys(scores[~np.isnan(scores)]) >> _BIN_SHIFT
        return len(scores), np.bincount(bins, minlength=1 << _BIN_BITS)

    rows, counts = 0, np.zeros(1 << _BIN_BITS, dtype=np.int64)
    for batch_rows, batch_counts in each_batch(pool.tables, count, on_table):
        rows += batch_rows
        counts += batch_counts
    return rows, counts


def _decide(undecided: DiskSort, cut: Cut, better: DiskSort) -> _Ties:
    """Move the rows that the cut keeps, of those whose keys share the bin of the threshold, to `better`."""
    wanted, kept_ties, ties = cut.rows, 0, 0
    threshold = np.uint32(0)
    for inverted, high, low in undecided.chunks():
        taken = min(wanted, len(inverted))
        wanted -= taken
        if taken and (inverted[taken - 1] != threshold or not ties):
            threshold, kept_ties, ties = inverted[taken - 1], 0, 0
        first, end = (int(np.searchsorted(inverted, threshold, side)) for side in ("left", "right"))
        if cut.with_ties and not wanted:
            taken = max(taken, end)
        better.add([high[:taken], low[:taken]])
        kept_ties += max(0, min(taken, end) - first)
        ties += end - first
        if not wanted and end < len(inverted):
            break
    return _Ties(score_of_key(int(~threshold)), kept_ties, ties)


def _bin_of_kth_largest(counts: NDArray[np.int64], k: int) -> tuple[int, int]:
    """The bin that holds the k-th largest element (k >= 1), and how many elements lie in higher bins."""
    from_top = np.cumsum(counts[::-1])
    position = int(np.searchsorted(from_top, k))
    above = int(from_top[position - 1]) if position else 0
    return len(counts) - 1 - position, above
