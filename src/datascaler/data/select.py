"""The exact global top fraction of many score tables, in memory that does not grow with the pool.

Radix selection on the bits of the scores: one pass counts their upper 16 bits, one the lower 16 bits inside the bin
that holds the threshold; the third collects the kept uids. Ties at the threshold are kept in ascending order of uid.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import floor

import numpy as np
from numpy.typing import NDArray

from datascaler.data.samples import OK
from datascaler.data.score_table import read_table
from datascaler.data.uids import UID_DTYPE, sort_order, uid_pairs
from datascaler.errors import ConfigError

TIE_RULE = "rows at the threshold are kept in ascending order of uid"


@dataclass(frozen=True, slots=True)
class Selection:
    """The outcome of a selection; counts are of rows."""

    uids: NDArray[np.void]
    """Kept uids, `u8,u8`, ascending, each once."""
    threshold: float
    """The lowest kept score."""
    rows: int
    """All rows of the pool, bad ones included: what the fraction is a fraction of."""
    usable: int
    """Rows of status ok with a finite score."""
    kept: int
    kept_ties: int
    """Rows kept that score exactly the threshold, of `ties` such rows."""
    ties: int


def check_fraction(fraction: Fraction) -> Fraction:
    if not 0 < fraction <= 1:
        raise ConfigError(f"fraction must be above 0 and at most 1, got {float(fraction):g}")
    return fraction


def select_top(
    tables: Sequence[str],
    fraction: Fraction,
    random_seed: int | None = None,
    on_table: Callable[[], object] = lambda: None,
) -> Selection:
    """Keep floor(fraction x rows) rows, the best ones; fewer only if fewer are usable.

    `tables` are score-table URLs; `on_table` is called once per table and pass (three passes). With `random_seed` the
    scores are replaced by pseudo-random numbers that depend on the seed and the uid only.
    """
    check_fraction(fraction)
    rows = usable = 0
    upper_counts = np.zeros(1 << 16, dtype=np.int64)
    for url in tables:
        keys, _, _, table_rows = _usable_rows(url, random_seed)
        rows, usable = rows + table_rows, usable + len(keys)
        upper_counts += np.bincount(keys >> 16, minlength=1 << 16)
        on_table()
    keep = min(floor(fraction * rows), usable)
    if keep == 0:
        raise ConfigError(f"fraction {float(fraction):g} of {rows} rows ({usable} usable) keeps nothing")
    upper, above = _bin_of_kth_largest(upper_counts, keep)
    lower_counts = np.zeros(1 << 16, dtype=np.int64)
    for url in tables:
        keys, _, _, _ = _usable_rows(url, random_seed)
        lower_counts += np.bincount(keys[keys >> 16 == upper] & 0xFFFF, minlength=1 << 16)
        on_table()
    lower, above_in_bin = _bin_of_kth_largest(lower_counts, keep - above)
    threshold_key = (upper << 16) | lower
    better: list[NDArray[np.void]] = []
    tied: list[NDArray[np.void]] = []
    for url in tables:
        keys, high, low, _ = _usable_rows(url, random_seed)
        for rule, into in ((keys > threshold_key, better), (keys == threshold_key, tied)):
            into.append(uid_pairs(high[rule], low[rule]))
        on_table()
    all_ties = np.concatenate([np.empty(0, UID_DTYPE), *tied])
    wanted = keep - above - above_in_bin
    kept_rows = np.concatenate([*better, all_ties[sort_order(all_ties)][:wanted]])
    ordered = kept_rows[sort_order(kept_rows)]
    return Selection(
        uids=ordered[_first_of_each(ordered)],
        threshold=float(_score_of_key(threshold_key)),
        rows=rows,
        usable=usable,
        kept=keep,
        kept_ties=wanted,
        ties=len(all_ties),
    )


def _usable_rows(
    url: str, random_seed: int | None
) -> tuple[NDArray[np.int64], NDArray[np.uint64], NDArray[np.uint64], int]:
    """Sortable keys and both uid halves of the usable rows, and the number of all rows."""
    table, _ = read_table(url, ["score", "status", "uid_high", "uid_low"])
    scores = table["score"].to_numpy()
    high, low = table["uid_high"].to_numpy(), table["uid_low"].to_numpy()
    usable = np.isfinite(scores) & (table["status"].to_numpy() == OK)
    if random_seed is not None:
        scores = _random_scores(low, random_seed)
    return _sortable(scores[usable]), high[usable], low[usable], len(scores)


def _random_scores(low: NDArray[np.uint64], seed: int) -> NDArray[np.float32]:
    """Uniform in [0, 1), 24 bits, from uid and seed: the finaliser of SplitMix64 (Steele et al. 2014)."""
    mixed = low + np.uint64((seed * 0x9E3779B97F4A7C15 + 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed = mixed ^ (mixed >> np.uint64(31))
    return (mixed >> np.uint64(40)).astype(np.float32) / np.float32(1 << 24)


def _sortable(scores: NDArray[np.float32]) -> NDArray[np.int64]:
    """float32 [n] -> int64 [n] in 0..2^32 with the same order (IEEE 754: flip the sign bit, or all if negative)."""
    bits = (scores.astype(np.float32) + np.float32(0.0)).view(np.uint32)  # + 0.0 makes -0.0 equal to 0.0
    flipped = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))
    return flipped.astype(np.int64)


def _score_of_key(key: int) -> np.float32:
    bits = key & 0x7FFFFFFF if key >> 31 else ~key & 0xFFFFFFFF
    return np.uint32(bits).view(np.float32)


def _bin_of_kth_largest(counts: NDArray[np.int64], k: int) -> tuple[int, int]:
    """The bin that holds the k-th largest element (k >= 1), and how many elements lie in higher bins."""
    from_top = np.cumsum(counts[::-1])
    position = int(np.searchsorted(from_top, k))
    above = int(from_top[position - 1]) if position else 0
    return len(counts) - 1 - position, above


def _first_of_each(ordered: NDArray[np.void]) -> NDArray[np.bool_]:
    first = np.ones(len(ordered), dtype=bool)
    first[1:] = ordered[1:] != ordered[:-1]
    return first
