"""A subset for looking up batches of uids: sorted columns on disk, which all workers of a node map into memory."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datascaler.data.pool.uids import find_sorted
from datascaler.data.subset.multiset import distinct_counts
from datascaler.data.tables.npy_files import load_npy

_COLUMNS = ("high", "low", "count")


class UidFilter:
    """Says how often each sample of a pass over the pool is used. Of several with one uid, the first is."""

    def __init__(self, folder: Path) -> None:
        """`folder` is one that `save_filter` wrote."""
        self._high, self._low, self._count = (load_npy(folder / f"{name}.npy", mmap_mode="r") for name in _COLUMNS)
        self._taken = np.zeros(len(self._count), dtype=bool)
        self.most = int(load_npy(folder / "most.npy"))
        """How often the uid that is used most often is used."""

    def begin_pass(self) -> None:
        self._taken[:] = False

    def take(self, pairs: NDArray[np.void]) -> NDArray[np.int64]:
        """Uids [n] as they come, `u8,u8` -> how often each is to be used [n]."""
        at = find_sorted(pairs, self._high, self._low)
        wanted = np.flatnonzero(at >= 0)
        _, first = np.unique(at[wanted], return_index=True)
        fresh = wanted[first]
        fresh = fresh[~self._taken[at[fresh]]]
        self._taken[at[fresh]] = True
        times = np.zeros(len(pairs), dtype=np.int64)
        times[fresh] = self._count[at[fresh]]
        return times


def save_filter(folder: Path, uids: NDArray[np.void]) -> None:
    """`uids` is `u8,u8`, ascending; a uid that is there k times is used k times a pass."""
    distinct, counts = distinct_counts(uids)
    for name, column in zip(_COLUMNS, (distinct["f0"], distinct["f1"], counts), strict=True):
        np.save(folder / f"{name}.npy", column)
    np.save(folder / "most.npy", counts.max(initial=1))
