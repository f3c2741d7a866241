"""Results in order, few at a time, and errors that end the work."""

import threading
import time
from itertools import count

import pytest

from datascaler.tools.ordered_map import in_order, read_in_order


@pytest.mark.parametrize("num_workers", [1, 3, 16])
def test_results_come_in_the_order_of_the_items(num_workers: int) -> None:
    def slow_at_first(item: int) -> int:
        time.sleep(0.02 if item == 0 else 0)
        return item * item

    assert list(in_order(slow_at_first, range(40), num_workers)) == [item * item for item in range(40)]
    assert list(in_order(slow_at_first, [], num_workers)) == []


def test_it_runs_only_a_few_items_ahead() -> None:
    begun: list[int] = []
    results = in_order(begun.append, count(), num_workers=2)
    for taken in range(10):
        next(results)
        assert len(begun) <= taken + 1 + 2 * 2
    results.close()  # type: ignore[attr-defined]


def test_an_error_comes_in_its_turn_and_ends_the_work() -> None:
    begun = threading.Event()

    def fails_at_three(item: int) -> int:
        if item == 3:
            raise KeyError(item)
        if item > 3 + 2 * 2:
            begun.set()
        return item

    results = in_order(fails_at_three, range(1000), num_workers=2)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(KeyError):
        next(results)
    assert not begun.is_set()


@pytest.mark.parametrize("seconds", [0.0, 0.004])
@pytest.mark.parametrize("items", [0, 1, 2, 5, 60])
def test_reads_come_in_order_and_each_once(items: int, seconds: float) -> None:
    begun: list[int] = []

    def read(item: int) -> int:
        begun.append(item)
        time.sleep(seconds * (item % 2 + 1))
        return item * item

    assert list(read_in_order(read, iter(range(items)), 4)) == [item * item for item in range(items)]
    assert sorted(begun) == list(range(items))


def test_reads_that_wait_are_shared_among_threads_and_the_first_are_not() -> None:
    readers: list[int] = []

    def read(_: int) -> None:
        readers.append(threading.get_ident())
        time.sleep(0.02)

    assert len(list(read_in_order(read, range(30), 4))) == 30
    caller = threading.get_ident()
    assert set(readers[:3]) == {caller}
    assert 2 <= len(set(readers) - {caller}) <= 4


def test_reads_run_only_a_few_items_ahead() -> None:
    begun: list[int] = []

    def read(item: int) -> None:
        begun.append(item)
        time.sleep(0.004)

    results = read_in_order(read, count(), 2)
    for taken in range(40):
        next(results)
        assert len(begun) <= taken + 1 + 2 * 2
    results.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("bad", [0, 2, 3, 20])
def test_an_error_of_a_read_comes_in_its_turn(bad: int) -> None:
    def read(item: int) -> int:
        time.sleep(0.004)
        if item == bad:
            raise KeyError(item)
        return item

    results = read_in_order(read, range(1000), 4)
    assert [next(results) for _ in range(bad)] == list(range(bad))
    with pytest.raises(KeyError):
        next(results)
