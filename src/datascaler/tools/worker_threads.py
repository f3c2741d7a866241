"""Threads that work for a command: waited for at the end, and at a stop for a moment only."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from datascaler.stop import ending

_GRACE_SECONDS = 2.0
"""What a thread is about to publish takes less; what it reads may never come."""


@contextmanager
def worker_threads(count: int, name: str = "") -> Iterator[ThreadPoolExecutor]:
    """An executor whose threads are waited for at the end as `end_threads` does."""
    executor = ThreadPoolExecutor(count, name)
    try:
        yield executor
    finally:
        end_threads(executor, cancel_futures=True)


def end_threads(executor: ThreadPoolExecutor, *, cancel_futures: bool) -> None:
    """Wait until the threads have done what they were given, or have begun; who is told to stop waits two seconds.

    The process ends without them: they may be inside a request to a store that has fallen silent.
    """
    is_stopping = ending() is not None
    executor.shutdown(wait=not is_stopping, cancel_futures=cancel_futures)
    if is_stopping:
        until = time.monotonic() + _GRACE_SECONDS
        for thread in executor._threads:
            thread.join(timeout=max(0.0, until - time.monotonic()))
