"""Sorting on disk against numpy's sort in memory, with runs so small that every way of cutting them is taken."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from datascaler.tools.disk_sort import DiskSort, row_order

RUN_ROWS = 50
UIDS = ["u8", "u8"]
LAST = 2**64 - 1


def columns_of(kind: str, rows: int) -> list[NDArray[np.uint64]]:
    generator = np.random.default_rng(7)

    def anything() -> NDArray[np.uint64]:
        return generator.integers(0, LAST, rows, np.uint64, endpoint=True)

    def few(*values: int) -> NDArray[np.uint64]:
        return generator.choice(np.array(values, np.uint64), rows)

    kinds: dict[str, Callable[[], list[NDArray[np.uint64]]]] = {
        "uniform": lambda: [anything(), anything()],
        "ascending": lambda: [np.sort(anything()), anything()],
        "upper bits shared": lambda: [anything() >> np.uint64(60), anything()],
        "one high half": lambda: [few(3), anything()],
        "the last high half": lambda: [few(LAST), anything()],
        "two high halves": lambda: [few(0, LAST), anything()],
        "mostly one uid": lambda: [np.where(generator.random(rows) < 0.98, few(5), anything()), few(5, 6)],
        "one uid": lambda: [few(LAST), few(LAST)],
        "the lowest and its neighbour": lambda: [few(0, 1), few(0)],
    }
    return kinds[kind]()


KINDS = (
    "uniform",
    "ascending",
    "upper bits shared",
    "one high half",
    "the last high half",
    "two high halves",
    "mostly one uid",
    "one uid",
    "the lowest and its neighbour",
)


def add_in_parts(sort: DiskSort, columns: list[NDArray[Any]]) -> None:
    for start in range(0, len(columns[0]), 33):
        sort.add([column[start : start + 33] for column in columns])


@pytest.mark.parametrize("rows", [0, 1, 50, 51, 1000, 2377])
@pytest.mark.parametrize("kind", KINDS)
def test_the_order_is_that_of_a_sort_and_no_chunk_is_larger_than_a_run(tmp_path: Path, kind: str, rows: int) -> None:
    columns = columns_of(kind, rows)
    sort = DiskSort(tmp_path / "sort", UIDS, RUN_ROWS)
    add_in_parts(sort, columns)
    chunks = list(sort.chunks())
    assert sort.rows == rows
    assert all(0 < len(high) <= RUN_ROWS for high, _ in chunks)
    order = np.lexsort(columns[::-1])
    for found, column in zip(zip(*chunks, strict=True), columns, strict=bool(rows)):
        assert np.array_equal(np.concatenate(found), column[order])


def test_three_columns_of_two_widths(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    columns: list[NDArray[Any]] = [
        generator.integers(0, 3, 900, np.uint32),
        generator.integers(0, 2, 900, np.uint64),
        generator.integers(0, LAST, 900, np.uint64),
    ]
    sort = DiskSort(tmp_path, ["u4", "u8", "u8"], RUN_ROWS)
    add_in_parts(sort, columns)
    found = [np.concatenate(parts) for parts in zip(*sort.chunks(), strict=True)]
    assert [column.dtype for column in found] == ["u4", "u8", "u8"]
    order = np.lexsort(columns[::-1])
    assert all(np.array_equal(column, other[order]) for column, other in zip(found, columns, strict=True))


def test_many_threads_lose_nothing(tmp_path: Path) -> None:
    sort = DiskSort(tmp_path, UIDS, RUN_ROWS)

    def add(thread: int) -> None:
        for number in range(40):
            values = np.arange(7, dtype=np.uint64) + np.uint64(1000 * thread + 7 * number)
            sort.add([values, values])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(8)))
    high = np.concatenate([chunk[0] for chunk in sort.chunks()])
    assert high.tolist() == sorted(1000 * thread + at for thread in range(8) for at in range(280))


def test_equal_rows_come_as_often_as_they_went_in(tmp_path: Path) -> None:
    sort = DiskSort(tmp_path, UIDS, RUN_ROWS)
    high = np.repeat(np.arange(5, dtype=np.uint64), [1, 200, 3, 120, 7])
    add_in_parts(sort, [high[::-1], high[::-1]])
    found = np.concatenate([chunk[0] for chunk in sort.chunks()])
    assert Counter(found.tolist()) == {0: 1, 1: 200, 2: 3, 3: 120, 4: 7}


@pytest.mark.parametrize("kind", KINDS)
def test_row_order_is_that_of_lexsort_up_to_equal_rows(kind: str) -> None:
    columns = columns_of(kind, 700)
    order, expected = row_order(columns), np.lexsort(columns[::-1])
    assert sorted(order.tolist()) == list(range(700))
    assert all(np.array_equal(column[order], column[expected]) for column in columns)
