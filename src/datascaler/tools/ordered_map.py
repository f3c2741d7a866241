"""Work shared among threads whose results come in order, a few ahead of their use."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from itertools import islice
from statistics import median
from typing import TypeVar

from datascaler.tools.usable_cores import usable_cores
from datascaler.tools.waits import waiting_for
from datascaler.tools.worker_threads import worker_threads

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_TRIALS = 16
_LONG_WAITS, _LONG_WAIT_SECONDS = 3, 0.002
"""So many in a row are of a store; no more is tried."""
_WORTH_A_THREAD_SECONDS = 0.001
"""Work of so long an item is shared among cores: with less, threads that take turns in the interpreter lose more time
than they save.
"""


def in_order(function: Callable[[_Item], _Result], items: Iterable[_Item], num_workers: int) -> Iterator[_Result]:
    """`function` of every item. Unlike `Executor.map`, it never has more than a few results waiting to be taken."""
    waiting: deque[Future[_Result]] = deque()
    with worker_threads(num_workers) as executor:
        try:
            for item in items:
                waiting.append(executor.submit(function, item))
                if len(waiting) > 2 * num_workers:
                    yield _result(waiting.popleft())
            while waiting:
                yield _result(waiting.popleft())
        finally:
            for future in waiting:
                future.cancel()


def read_in_order(read: Callable[[_Item], _Result], items: Iterable[_Item], most: int) -> Iterator[_Result]:
    """The same for a function that reads a file, in as many threads as pay: `most` where it waits for a store or a
    disk, as many as there are cores where it works, and none where it does little. The first items tell.
    """
    rest = iter(items)
    waits, works = list[float](), list[float]()
    for item in islice(rest, _TRIALS):
        began, used = time.perf_counter(), time.thread_time()
        result = read(item)
        works.append(time.thread_time() - used)
        waits.append(time.perf_counter() - began - works[-1])
        yield result
        if min(waits[-_LONG_WAITS:]) > _LONG_WAIT_SECONDS and len(waits) >= _LONG_WAITS:
            break
    if works and median(waits) > median(works):
        yield from in_order(read, rest, most)
    elif works and median(works) > _WORTH_A_THREAD_SECONDS:
        yield from in_order(read, rest, min(most, usable_cores()))
    else:
        yield from map(read, rest)


def _result(future: Future[_Result]) -> _Result:
    with waiting_for("a thread, which reads or computes"):
        return future.result()
