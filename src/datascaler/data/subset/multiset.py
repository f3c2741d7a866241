"""Sorted uids as a multiset: a uid that is there k times is seen k times an epoch."""

import numpy as np
from numpy.typing import NDArray


def first_of_each(uids: NDArray[np.void]) -> NDArray[np.bool_]:
    """Mark where each distinct uid begins [n] among ascending uids [n]."""
    first = np.ones(len(uids), dtype=bool)
    high, low = uids["f0"], uids["f1"]
    np.not_equal(high[1:], high[:-1], out=first[1:])
    first[1:] |= low[1:] != low[:-1]
    return first


def distinct_counts(uids: NDArray[np.void]) -> tuple[NDArray[np.void], NDArray[np.int64]]:
    """Ascending uids [n] -> the distinct ones [d] and how often each is there [d]."""
    starts = np.flatnonzero(first_of_each(uids))
    return uids[starts], np.diff(np.append(starts, len(uids)))


def count_repeats(uids: NDArray[np.void]) -> int:
    """Entries beyond the first of their uid."""
    return len(uids) - int(first_of_each(uids).sum())
