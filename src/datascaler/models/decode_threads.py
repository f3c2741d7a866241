"""Threads that decode pictures for a network, which may be on the same cores."""

from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager

import torch

from datascaler.tools.foreign_warnings import listening


@contextmanager
def decode_threads(count: int) -> Iterator[Executor]:
    """What is not begun at the end is dropped.

    torch shares a large operation out among helper threads, and gives each thread that calls it helpers of its own.
    These have none: from the moment that a process has more of them than cores, OpenMP puts them to sleep after every
    operation, those of the network too, and waking them takes longer than many an operation does.
    """
    before = torch.get_num_threads()  # the calling thread has its helpers from here on
    executor = ThreadPoolExecutor(count, "decode", initializer=torch.set_num_threads, initargs=(1,))
    try:
        with listening():
            yield executor
    finally:
        executor.shutdown(cancel_futures=True)
        torch.set_num_threads(before)  # for threads that are yet to come
