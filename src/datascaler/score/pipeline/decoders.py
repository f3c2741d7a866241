"""The workers that prepare samples: threads that take turns with a network on the CPU, processes beside an accelerator.

Decoding releases the interpreter's lock and threads need no start, but what is Python in it would hold up the thread
that feeds an accelerator, which takes thousands of samples a second.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import torch.multiprocessing

from datascaler.data.pool.samples import Sample
from datascaler.errors import TryAgainError
from datascaler.models.decode_threads import decode_threads
from datascaler.score.pipeline.prepare_samples import Preparation, Prepared
from datascaler.tools.child_processes import begin_worker, fork_server
from datascaler.tools.cpu_turns import Turn
from datascaler.tools.waits import waiting_for

Prepare = Callable[[list[Sample], Sequence[Any] | None], "Future[Prepared]"]
_PRELOAD = ["datascaler.score.pipeline.prepare_samples"]
"""Brings torch and open_clip, which take seconds, into the fork server."""

_PROCESSES = 4
"""If nothing else is asked for."""
_THREADS_CHUNK, _PROCESSES_CHUNK = 8, 32
"""Samples that a worker takes at once. What threads have in hand when the network takes its turn slows it down; a chunk
for a process has to be sent there and back."""
_KILLED = "a decode worker was killed, most likely for memory: lower --num-workers or give more memory"

_preparation: Preparation
"""The preparation that a worker process was started with."""


@dataclass(frozen=True, slots=True)
class Decoders:
    """The workers, at work."""

    prepare: Prepare
    """Have a list of samples prepared by one of them."""
    chunk: int
    """How many it is to be."""
    while_paused: Callable[[], AbstractContextManager[None]]
    """While open, CPU decode workers start no new chunk."""


def decoders(
    preparation: Preparation, num_workers: int | None, *, in_processes: bool
) -> AbstractContextManager[Decoders]:
    """Start the workers: by default four processes, or as many threads as torch has.

    Chunks that are not begun at the end are dropped.
    """
    if in_processes:
        return _processes(preparation, num_workers or _PROCESSES)
    return _threads(preparation, num_workers or torch.get_num_threads())


@contextmanager
def _processes(preparation: Preparation, num_workers: int) -> Iterator[Decoders]:
    executor = ProcessPoolExecutor(num_workers, fork_server(_PRELOAD), initializer=_begin, initargs=(preparation,))

    def prepare(samples: list[Sample], notes: Sequence[Any] | None) -> "Future[Prepared]":
        try:
            return executor.submit(_prepare_here, samples, notes)
        except BrokenProcessPool as error:  # one died of what it was given before
            raise TryAgainError(_KILLED) from error

    try:
        yield Decoders(prepare, _PROCESSES_CHUNK, nullcontext)
    finally:
        executor.shutdown(cancel_futures=True)


@contextmanager
def _threads(preparation: Preparation, num_workers: int) -> Iterator[Decoders]:
    turn = Turn()

    def prepare(samples: list[Sample], notes: Sequence[Any] | None) -> Prepared:
        turn.wait()
        return preparation(samples, notes)

    with decode_threads(num_workers) as executor:
        yield Decoders(lambda samples, notes: executor.submit(prepare, samples, notes), _THREADS_CHUNK, turn.taken)


def result_of(future: "Future[Prepared]") -> Prepared:
    """Raises TryAgainError where the worker process died, or had no memory."""
    try:
        with waiting_for("a decode worker"):
            return future.result()
    except MemoryError as error:
        raise TryAgainError("no memory is left to prepare samples: lower --num-workers, or give more memory") from error
    except BrokenProcessPool as error:
        raise TryAgainError(_KILLED) from error


def _begin(preparation: Preparation) -> None:
    global _preparation
    _preparation = preparation
    torch.set_num_threads(1)
    begin_worker()


def _prepare_here(samples: list[Sample], notes: Sequence[Any] | None) -> Prepared:
    return _preparation(samples, notes)
