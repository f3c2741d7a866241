"""The vectors of a pool, cluster by cluster: on local disk, for together they may be larger than memory.

Rows go to one of a few hundred files by their cluster, so that a file that is read whole has every row of its clusters.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_FILES = 256


class ClusteredRows:
    """Takes rows in any order, one thread at a time; gives each cluster's back in the order that they came."""

    def __init__(self, folder: Path, width: int, dtype: np.dtype[Any]) -> None:
        """`folder` is made, and is the caller's to remove; `width` and `dtype` are of the vectors."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._record = np.dtype(
            [
                ("cluster", "i4"),
                ("row", "i8"),
                ("order", "f8"),
                ("uid_high", "u8"),
                ("uid_low", "u8"),
                ("vector", dtype, (width,)),
            ]
        )

    def add(
        self,
        clusters: NDArray[np.int64],
        rows: NDArray[np.int64],
        order: NDArray[np.float64],
        uids: tuple[NDArray[np.uint64], NDArray[np.uint64]],
        vectors: NDArray[Any],
    ) -> None:
        """[n] each, `vectors` [n, width]; `order` is what a cluster is to be sorted by."""
        records = np.empty(len(rows), self._record)
        records["cluster"], records["row"], records["order"] = clusters, rows, order
        records["uid_high"], records["uid_low"] = uids
        records["vector"] = vectors
        files = clusters % _FILES
        for number in np.unique(files).tolist():
            with self._path(number).open("ab") as file:
                file.write(records[files == number].tobytes())

    def clusters(self) -> Iterator[NDArray[np.void]]:
        """The records of every cluster that has any. A file is deleted once it is taken."""
        for number in range(_FILES):
            path = self._path(number)
            if not path.exists():
                continue
            records = np.fromfile(path, self._record)
            path.unlink()
            records = records[np.argsort(records["cluster"], kind="stable")]
            yield from np.split(records, np.flatnonzero(np.diff(records["cluster"])) + 1)

    def _path(self, number: int) -> Path:
        return self._folder / f"clusters-{number:03d}"
