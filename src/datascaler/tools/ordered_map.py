"""Work shared among threads whose results come in order, a few ahead of their use."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from typing import TypeVar

from datascaler.tools.waits import waiting_for
from datascaler.tools.worker_threads import worker_threads

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


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


def _result(future: Future[_Result]) -> _Result:
    with waiting_for("a thread, which reads or computes"):
        return future.result()
