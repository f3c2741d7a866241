"""A sorted run of rows in a file of its own, and contiguous parts of it.

The columns lie one after the other. Rows are read into memory that is the reader's; only searches map the file, for as
long as they take.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Run:
    path: Path
    rows: int
    dtypes: tuple[np.dtype[Any], ...]

    def offset(self, column: int) -> int:
        """Byte of the file where a column starts."""
        return sum(dtype.itemsize for dtype in self.dtypes[:column]) * self.rows

    def mapped(self, column: int) -> NDArray[Any]:
        return np.memmap(self.path, self.dtypes[column], "r", self.offset(column), (self.rows,))


@dataclass(frozen=True, slots=True)
class Slice:
    """Rows [start, end) of a run; their values ascend in the first column in which they differ."""

    run: Run
    start: int
    end: int

    @property
    def rows(self) -> int:
        return self.end - self.start

    def part(self, start: int, end: int) -> "Slice":
        """Rows [start, end) of these."""
        return Slice(self.run, self.start + start, self.start + end)

    def pieces(self, rows: int) -> Iterator[list["Slice"]]:
        for start in range(0, self.rows, rows):
            yield [self.part(start, min(start + rows, self.rows))]

    def value(self, column: int, row: int) -> int:
        return int(self.run.mapped(column)[self.start + row])

    def sample(self, column: int, stride: int) -> NDArray[Any]:
        """Every stride-th value, from the first on; a copy."""
        return np.array(self.run.mapped(column)[self.start : self.end : stride])

    def search(self, column: int, values: NDArray[Any]) -> NDArray[np.int64]:
        """How many of these rows lie below each value. The rows must ascend in this column."""
        return np.searchsorted(self.run.mapped(column)[self.start : self.end], values).astype(np.int64)

    def read(self, column: int, into: NDArray[Any]) -> None:
        dtype = self.run.dtypes[column]
        offset = self.run.offset(column) + self.start * dtype.itemsize
        into[:] = np.fromfile(self.run.path, dtype, self.rows, offset=offset)


def write_run(path: Path, columns: list[NDArray[Any]]) -> Run:
    """Columns of one length [n], whose rows ascend."""
    with path.open("wb") as file:
        for column in columns:
            file.write(np.ascontiguousarray(column).data)
    return Run(path, len(columns[0]), tuple(column.dtype for column in columns))


def load(slices: list[Slice]) -> list[NDArray[Any]]:
    """All columns of the slices' rows, slice after slice."""
    ends = np.cumsum([each.rows for each in slices])
    columns = []
    for number, dtype in enumerate(slices[0].run.dtypes):
        column = np.empty(int(ends[-1]), dtype)
        for each, end in zip(slices, ends, strict=True):
            each.read(number, column[end - each.rows : end])
        columns.append(column)
    return columns
