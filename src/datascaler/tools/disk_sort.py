"""Sorting more rows than memory holds: sorted runs on local disk, merged range by range.

Ranges are cut at values that the runs themselves hold, column after column, so that memory stays bounded whatever the
distribution: uids that share their upper bits, one score for a whole pool, one uid in every row.
"""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datascaler.tools.ordered_map import in_order
from datascaler.tools.sorted_run import Run, Slice, load, write_run

RUN_ROWS = 1 << 21
"""Rows that are collected, sorted and written together: 2 M uids are 32 MB, about 100 MB while they are sorted."""
_SAMPLES_PER_RANGE = 32
_SORTERS = 2
"""Threads that sort chunks. Each has up to two that wait to be taken."""
Columns = Sequence[NDArray[Any]]
"""Unsigned integer columns of one length; the first is compared first."""


class DiskSort:
    """Takes rows in any order from any thread; gives them back ascending, equal rows as often as they came."""

    def __init__(self, folder: Path, dtypes: list[str], run_rows: int = RUN_ROWS) -> None:
        """`folder` is made, and is the caller's to remove; `dtypes` are of the columns, the first compared first."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._run_rows = folder, run_rows
        self._dtypes = [np.dtype(name) for name in dtypes]
        self._buffer, self._filled = self._new_buffer(), 0
        self._adding, self._sorting = threading.Lock(), threading.Lock()
        self._runs: list[Run] = []
        self.rows = 0

    def add(self, columns: Columns) -> None:
        """Columns of one length [n]; they are copied."""
        start, count = 0, len(columns[0])
        while start < count:
            with self._adding:
                taken = min(count - start, self._run_rows - self._filled)
                into = slice(self._filled, self._filled + taken)
                for own, column in zip(self._buffer, columns, strict=True):
                    own[into] = column[start : start + taken]
                self._filled += taken
                self.rows += taken
                full = self._buffer if self._filled == self._run_rows else None
                if full is not None:
                    # Two buffers are the memory bound: one that fills, one that is sorted and written.
                    self._sorting.acquire()
                    self._buffer, self._filled = self._new_buffer(), 0
            if full is not None:
                try:
                    self._write(full)
                finally:
                    self._sorting.release()
            start += taken

    def chunks(self) -> Iterator[list[NDArray[Any]]]:
        """All rows ascending, as columns of at most `run_rows` rows, a few chunks ahead of their use. Call it once."""
        if self._filled:
            self._write([column[: self._filled] for column in self._buffer])
        self._buffer = []
        slices = [Slice(run, 0, run.rows) for run in self._runs]
        yield from in_order(_sorted, self._ranges(slices, column=0), _SORTERS)

    def remove(self) -> None:
        """The runs' files, once the chunks are taken."""
        for run in self._runs:
            run.path.unlink()

    def _ranges(self, slices: list[Slice], column: int) -> Iterator[list[Slice]]:
        """Parts of the slices that follow one another in order, each small enough to be sorted in memory.

        All rows of the slices have the same values in the columns before `column`.
        """
        total = sum(each.rows for each in slices)
        if total <= self._run_rows:
            if total:
                yield slices
            return
        if column == len(self._dtypes):
            # All rows are equal: any order is sorted.
            yield from (part for each in slices for part in each.pieces(self._run_rows))
            return
        lowest = min(each.value(column, 0) for each in slices)
        highest = max(each.value(column, each.rows - 1) for each in slices)
        if lowest == highest:
            yield from self._ranges(slices, column + 1)
            return
        for part in _cut(slices, column, self._pivots(slices, column, total, lowest)):
            yield from self._ranges(part, column)

    def _pivots(self, slices: list[Slice], column: int, total: int, lowest: int) -> NDArray[Any]:
        """Values above the lowest that cut the slices into ranges of about half the bound, as far as samples tell."""
        ranges = -(-2 * total // self._run_rows)
        stride = max(1, total // (_SAMPLES_PER_RANGE * ranges))
        sample = np.sort(np.concatenate([each.sample(column, stride) for each in slices]))
        values = np.unique(sample[np.linspace(0, len(sample) - 1, ranges + 1).astype(np.intp)])
        above = values[values > lowest]
        return above if len(above) else np.array([lowest + 1], dtype=self._dtypes[column])

    def _write(self, columns: list[NDArray[Any]]) -> None:
        order = row_order(columns)
        path = self._folder / f"run-{len(self._runs):06d}"
        self._runs.append(write_run(path, [column[order] for column in columns]))

    def _new_buffer(self) -> list[NDArray[Any]]:
        return [np.empty(self._run_rows, dtype=dtype) for dtype in self._dtypes]


def _cut(slices: list[Slice], column: int, pivots: NDArray[Any]) -> Iterator[list[Slice]]:
    """One list of slices per range: below the first pivot, from each pivot to the next, from the last one on."""
    cuts = [np.concatenate([[0], each.search(column, pivots), [each.rows]]) for each in slices]
    for number in range(len(pivots) + 1):
        parts = [each.part(int(cut[number]), int(cut[number + 1])) for each, cut in zip(slices, cuts, strict=True)]
        yield [part for part in parts if part.rows]


def _sorted(slices: list[Slice]) -> list[NDArray[Any]]:
    columns = load(slices)
    if len(slices) == 1:
        return columns
    order = row_order(columns)
    return [column[order] for column in columns]


def row_order(columns: Columns) -> NDArray[np.intp]:
    """Indexes [n] that bring the rows into ascending order; equal rows come in no particular order.

    np.lexsort sorts every column, and records are compared by a function call: each is several times slower than one
    argsort of integers, which is all that rows with few equal first columns need.
    """
    if len(columns) > 1 and len(columns[0]) and columns[0].min() == columns[0].max():
        return row_order(columns[1:])
    order = np.argsort(columns[0])
    if len(columns) == 1:
        return order
    unsettled = np.flatnonzero(_in_a_run(columns[0][order]))
    if len(unsettled):
        # Runs of equal values are contiguous and ordered among themselves, so one sort of them all leaves each in place
        rows = order[unsettled]
        order[unsettled] = rows[np.lexsort([column[rows] for column in reversed(columns)])]
    return order


def _in_a_run(ordered: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether each of the ordered values has an equal neighbour."""
    shared = np.zeros(len(ordered), dtype=bool)
    equal = ordered[1:] == ordered[:-1]
    shared[1:] |= equal
    shared[:-1] |= equal
    return shared
