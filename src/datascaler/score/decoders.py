"""The workers that prepare samples: threads beside a network on the CPU, processes beside an accelerator.

Decoding releases the interpreter's lock and threads need no start, but what is Python in it would hold up the thread
that feeds an accelerator, which takes thousands of samples a second.
"""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any

import torch
import torch.multiprocessing

from datascaler.data.samples import Sample
from datascaler.errors import TryAgainError
from datascaler.score.child_process import end_with_parent
from datascaler.score.prepare import Preparation, Prepared

Prepare = Callable[[list[Sample], Sequence[Any] | None], "Future[Prepared]"]
_PRELOAD = ["datascaler.score.prepare"]
"""Brings torch and open_clip, which take seconds, into the fork server."""
_LEAST_PRIORITY = 19
"""As `nice` counts."""

_preparation: Preparation
"""Of a worker process."""


@contextmanager
def decoders(preparation: Preparation, num_workers: int, *, in_processes: bool) -> Iterator[Prepare]:
    """A function that has a list of samples prepared by one of the workers. What is not begun at the end is dropped."""
    executor: Executor
    if in_processes:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(_PRELOAD)
        executor = ProcessPoolExecutor(num_workers, context, initializer=_begin, initargs=(preparation,))
        work: Callable[[list[Sample], Sequence[Any] | None], Prepared] = _prepare_here
    else:
        executor, work = ThreadPoolExecutor(num_workers, "decode", initializer=_step_back), preparation
    try:
        yield lambda samples, notes: executor.submit(work, samples, notes)
    finally:
        executor.shutdown(cancel_futures=True)


def _step_back() -> None:
    """Let this thread have the time that the network's threads leave, which wait for one another at every operation.

    Linux has priorities for threads; elsewhere it would be the whole process that steps back.
    """
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LEAST_PRIORITY)


def result_of(future: "Future[Prepared]") -> Prepared:
    """Raises TryAgainError where the worker process died."""
    try:
        return future.result()
    except BrokenProcessPool as error:
        raise TryAgainError(
            "a decode worker was killed, most likely for memory: lower --num-workers or give more memory"
        ) from error


def _begin(preparation: Preparation) -> None:
    global _preparation
    _preparation = preparation
    torch.set_num_threads(1)
    # They end with the process that they work for, which decides what becomes of the work in hand.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    end_with_parent()


def _prepare_here(samples: list[Sample], notes: Sequence[Any] | None) -> Prepared:
    return _preparation(samples, notes)
