"""The exact rank of a score among all rows that are usable in every column.

A column's keys lie sorted in a file of 4 bytes a row, which is searched through a memory map: the page cache holds it
as far as there is room, and the process nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datascaler.data.select.joined_tables import JoinedTables
from datascaler.data.select.score_keys import sortable_keys
from datascaler.data.select.table_pass import each_batch
from datascaler.errors import ConfigError
from datascaler.tools.disk_sort import DiskSort


@dataclass(frozen=True, slots=True)
class ColumnRanks:
    keys: NDArray[np.uint32]
    """Keys of all usable rows, ascending, ties as often as they are there; mapped from a file."""

    def __call__(self, scores: NDArray[np.float32]) -> NDArray[np.float64]:
        """The share of rows below each score plus half of the share of rows that have it: above 0, below 1."""
        # Searched in ascending order, neighbours find the pages that the one before needed.
        keys, place = np.unique(sortable_keys(scores), return_inverse=True)
        below, up_to = (np.searchsorted(self.keys, keys, side) for side in ("left", "right"))
        return ((below + up_to) / (2 * len(self.keys)))[place]


def sort_columns(
    joined: JoinedTables, scratch: Path, on_table: Callable[[], object] = lambda: None
) -> dict[str, ColumnRanks]:
    """The ranks of each column by its score-id. `scratch` is a local folder that must outlive the ranks."""
    sorts = [DiskSort(scratch / f"ranks-{number}", ["u4"]) for number in range(len(joined.columns))]

    def sort_out(batch: range) -> None:
        for table in batch:
            columns, _ = joined.scored_uids(table)
            usable = ~np.isnan(columns[0])
            for sort, column in zip(sorts, columns, strict=True):
                sort.add([sortable_keys(column[usable])])

    for _ in each_batch(joined.tables, sort_out, on_table):
        pass
    if not sorts[0].rows:
        raise ConfigError(f"no row is usable in all of {', '.join(joined.columns)}: there is nothing to mix")
    paths = [scratch / f"ranks-{number}.u4" for number in range(len(sorts))]
    return {
        name: ColumnRanks(_write(sort, path)) for name, sort, path in zip(joined.columns, sorts, paths, strict=True)
    }


def _write(sort: DiskSort, path: Path) -> NDArray[np.uint32]:
    with path.open("wb") as file:
        for (keys,) in sort.chunks():
            file.write(keys.data)
    sort.remove()
    return np.memmap(path, np.uint32, "r")
