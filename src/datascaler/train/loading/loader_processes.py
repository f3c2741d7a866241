"""Loader processes: every worker makes a part of every batch, so a batch does not depend on how many there are."""

import errno
import logging
import multiprocessing
import sys
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from typing import Generic, TypeVar

import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from datascaler.errors import DatascalerError, StoppedError, TryAgainError
from datascaler.stop import patient, stop_requested
from datascaler.tools.child_processes import begin_worker, fork_server
from datascaler.tools.foreign_noise import without_warning
from datascaler.tools.waits import waiting_for
from datascaler.train.loading.hand_over import end_where_handing_over_fails, handed_over, received

Part = TypeVar("Part")
_log = logging.getLogger(__name__)

_GRACE_SECONDS = 3.0
_STOPPED_GRACE_SECONDS = 1.0
_PATIENCE_SECONDS = 2.0
"""How long a request to stop leaves to a batch that is due: with it, the step is done and saved as ever."""
_PRELOAD = ["datascaler.train.loading.batches"]
"""Brings torch and open_clip, which take seconds, into the fork server."""


def iterate_parts(make: Callable[[int, int], Iterator[Part]], num_workers: int) -> Generator[list[Part]]:
    """The parts of every batch, in the order of the workers.

    `make(worker, workers)` yields the worker's part of each batch; it must be picklable. With no workers it runs here,
    as the only one. An error of ours in a worker is raised here as it is. Workers end with this generator.
    """
    parts: list[Part] = []
    before = set(multiprocessing.active_children())
    started, parts_a_batch = _started(make, num_workers)
    workers = set(multiprocessing.active_children()) - before
    try:
        for part in map(received, started):
            if isinstance(part, DatascalerError):
                raise part
            parts.append(part)
            if len(parts) == parts_a_batch:
                yield parts
                parts = []
    except RuntimeError as error:
        # torch has no class of its own for it.
        if not str(error).startswith("DataLoader worker"):
            raise
        raise TryAgainError(
            "a loader worker ended, most likely killed for memory: lower --num-workers or give more memory"
        ) from error
    finally:
        # torch asks them to end, and later sends SIGTERM, which they hold back: one that waits for storage would go on.
        grace = _STOPPED_GRACE_SECONDS if stop_requested() else _GRACE_SECONDS
        killer = threading.Timer(grace, _kill, [workers])
        killer.daemon = True
        killer.start()
        del started
        if not any(worker.is_alive() for worker in workers):
            killer.cancel()


def awaited(batches: Iterator[Part]) -> Iterator[Part | None]:
    """The batches, for a loop inside `deferred`. Who is told to stop while none comes gets None: not to wait on."""
    while True:
        try:
            with waiting_for("a batch of the loader, which reads the pool"), patient(_PATIENCE_SECONDS):
                batch = next(batches, None)
        except StoppedError:
            yield None
            return
        if batch is None:
            return
        yield batch


def _kill(workers: Iterable[BaseProcess]) -> None:
    for worker in workers:
        if worker.is_alive():
            worker.kill()


class _Parts(IterableDataset["Part | DatascalerError"], Generic[Part]):
    """An error is the last item: torch would raise it in the training process with a traceback for a message."""

    def __init__(self, make: Callable[[int, int], Iterator[Part]]) -> None:
        self._make = make

    def __iter__(self) -> Iterator[Part | DatascalerError]:
        worker = get_worker_info()
        if worker:
            begin_worker()
            end_where_handing_over_fails()
        try:
            if worker:
                for part in self._make(worker.id, worker.num_workers):
                    yield handed_over(part, worker.num_workers)
            else:
                yield from self._make(0, 1)
        except DatascalerError as error:
            yield error


def _started(
    make: Callable[[int, int], Iterator[Part]], num_workers: int
) -> tuple[Iterator[Part | DatascalerError], int]:
    """The parts as they come, and how many of them a batch has."""
    if num_workers:
        with _quiet_finalizers():
            found = _in_workers(make, num_workers)
        if found is not None:
            return found, num_workers
    return iter(DataLoader(_Parts(make), batch_size=None, pin_memory=torch.cuda.is_available())), 1


def _in_workers(
    make: Callable[[int, int], Iterator[Part]], num_workers: int
) -> Iterator[Part | DatascalerError] | None:
    """None where there is no room for the semaphores of their queues, a page of shared memory each."""
    before = set(multiprocessing.active_children())
    context = fork_server(_PRELOAD)
    try:
        # More workers than cores are of use where they wait for storage.
        with without_warning("This DataLoader will create"):
            return iter(
                DataLoader(
                    _Parts(make),
                    batch_size=None,
                    pin_memory=torch.cuda.is_available(),
                    num_workers=num_workers,
                    multiprocessing_context=context,
                )
            )
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
    _kill(set(multiprocessing.active_children()) - before)
    _log.warning(
        "/dev/shm has no room for loader processes: this process makes the batches itself; "
        "give it more room (docker run --shm-size)"
    )
    return None


@contextmanager
def _quiet_finalizers() -> Iterator[None]:
    """torch's half of an iterator says that it has no workers when it goes."""
    before, sys.unraisablehook = sys.unraisablehook, lambda _: None
    try:
        yield
    finally:
        sys.unraisablehook = before
