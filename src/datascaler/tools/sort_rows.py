"""The order of rows of several unsigned columns, at the speed of sorting the first column alone."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Columns = Sequence[NDArray[Any]]
"""Unsigned integer columns of one length; the first is compared first."""


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
