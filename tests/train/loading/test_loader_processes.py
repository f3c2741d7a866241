"""Loader processes: parts in order, errors as they are, and an end at once."""

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator

import pytest

from datascaler.errors import BadInputError, TryAgainError
from datascaler.train.loading.loader_processes import iterate_parts


def numbered(worker: int, workers: int) -> Iterator[str]:
    for batch in range(3):
        yield f"batch {batch}, {worker} of {workers}"


def failing(worker: int, _: int) -> Iterator[int]:
    yield 0
    if worker == 1:
        raise BadInputError("a reason")
    yield 1


def stuck(worker: int, _: int) -> Iterator[int]:
    yield worker
    time.sleep(600)


@pytest.mark.parametrize("num_workers", [0, 1, 2])
def test_parts_come_by_batch_and_worker(num_workers: int) -> None:
    workers = max(1, num_workers)
    expected = [[f"batch {batch}, {worker} of {workers}" for worker in range(workers)] for batch in range(3)]
    assert list(iterate_parts(numbered, num_workers)) == expected


def test_an_error_of_a_worker_is_raised_as_it_is() -> None:
    parts = iterate_parts(failing, 2)
    assert next(parts) == [0, 0]
    with pytest.raises(BadInputError, match=r"^a reason$"):
        next(parts)


def test_workers_end_with_whoever_asks_for_batches() -> None:
    before = set(multiprocessing.active_children())
    parts = iterate_parts(stuck, 2)
    assert next(parts) == [0, 1]
    workers = set(multiprocessing.active_children()) - before
    assert len(workers) == 2
    parts.close()
    for worker in workers:
        worker.join(timeout=60)
        assert not worker.is_alive()


def test_a_worker_that_is_killed_is_a_reason_to_try_again() -> None:
    before = set(multiprocessing.active_children())
    parts = iterate_parts(stuck, 1)
    assert next(parts) == [0]
    (worker,) = set(multiprocessing.active_children()) - before
    assert worker.pid is not None
    # Both are meant for the process that asks for batches.
    for number in (signal.SIGTERM, signal.SIGINT):
        os.kill(worker.pid, number)
    time.sleep(0.2)
    assert worker.is_alive()
    os.kill(worker.pid, signal.SIGKILL)
    with pytest.raises(TryAgainError, match="a loader worker was killed, most likely for memory"):
        next(parts)
