"""Loader processes: parts in order, errors as they are, and an end at once."""

import errno
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from multiprocessing.synchronize import SemLock
from pathlib import Path
from typing import Any

import pytest
import torch

from datascaler.errors import BadInputError, TryAgainError
from datascaler.train.loading import hand_over
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
    with pytest.raises(TryAgainError, match="a loader worker ended, most likely killed for memory"):
        next(parts)


def large(worker: int, _: int) -> Iterator[torch.Tensor]:
    for batch in range(3):
        yield torch.full((1 << 16,), worker + batch, dtype=torch.int32)


def test_parts_that_shared_memory_has_no_room_for_go_through_the_pipe(tmp_path: Path) -> None:
    """And what can't be handed over is an end with a reason, not a wait for ever."""
    program = """
from datascaler.train.loading.loader_processes import iterate_parts
from tests.train.loading.test_loader_processes import large, unmeasured
if __name__ == "__main__":
    for make in (large, unmeasured):
        print([int(part[-1]) for parts in iterate_parts(make, 2) for part in parts])
"""
    script = tmp_path / "program.py"
    script.write_text(program)
    mounted = 'mount -t tmpfs -o size=64k none /dev/shm && exec "$@"'
    command = [
        "unshare",
        *([] if os.getuid() == 0 else ["-r"]),
        "-m",
        "sh",
        "-c",
        mounted,
        "sh",
        sys.executable,
        str(script),
    ]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=False)
    assert done.stdout == "[0, 1, 1, 2, 2, 3]\n"
    assert done.returncode == 1
    assert "give /dev/shm more room (docker run --shm-size), or set --num-workers 0" in done.stderr
    assert "TryAgainError: a loader worker ended" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("room", [0, 11], ids=["for no worker", "for the first worker"])
def test_without_room_for_semaphores_this_process_makes_the_batches(
    room: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As where others have filled /dev/shm: each queue has three, the event that ends them five."""
    init, made = SemLock.__init__, 0

    def scarce(self: SemLock, *arguments: Any, **options: Any) -> None:
        nonlocal made
        made += 1
        if made > room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        init(self, *arguments, **options)

    monkeypatch.setattr(SemLock, "__init__", scarce)
    before = set(multiprocessing.active_children())
    with caplog.at_level(logging.WARNING):
        assert list(iterate_parts(numbered, 2)) == [[f"batch {batch}, 0 of 1"] for batch in range(3)]
    assert "/dev/shm has no room for loader processes" in caplog.text
    for worker in set(multiprocessing.active_children()) - before:
        worker.join(timeout=60)
        assert not worker.is_alive()


def unmeasured(worker: int, workers: int) -> Iterator[torch.Tensor]:
    """As if others had taken the room since it was measured."""
    hand_over._AMPLE_BYTES = 0
    yield from large(worker, workers)
