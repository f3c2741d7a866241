"""One pass over many tables with threads: decoding parquet and most of numpy leave the interpreter lock."""

from collections.abc import Callable, Iterator
from typing import TypeVar

from datascaler.tools.ordered_map import in_order
from datascaler.tools.usable_cores import usable_cores

_Result = TypeVar("_Result")

_BATCH_TABLES = 16
"""Enough that handing work over costs nothing, few enough that the rows of a batch are small beside a sort's."""


def each_batch(
    tables: int, work: Callable[[range], _Result], on_table: Callable[[], object] = lambda: None
) -> Iterator[_Result]:
    """`work` of every batch of the table numbers 0..tables, in order; `on_table` is called here, once a table."""
    # At least 4: a read from object storage waits most of the time.
    workers = min(16, max(4, usable_cores()))
    size = max(1, min(_BATCH_TABLES, tables // workers))
    batches = [range(start, min(start + size, tables)) for start in range(0, tables, size)]
    for batch, result in zip(batches, in_order(work, batches, workers), strict=True):
        for _ in batch:
            on_table()
        yield result
