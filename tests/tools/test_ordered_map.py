"""Results in order, few at a time, and errors that end the work."""

import threading
import time
from itertools import count

import pytest

from datascaler.tools.ordered_map import in_order


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
