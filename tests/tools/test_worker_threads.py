"""Threads that are waited for at the end of their work, and at a stop for a moment only."""

import threading
import time
from collections.abc import Iterator

import pytest

from datascaler.errors import StoppedError
from datascaler.tools import worker_threads
from datascaler.tools.ordered_map import in_order


@pytest.fixture
def silent() -> Iterator[threading.Event]:
    """What a thread waits for in vain."""
    event = threading.Event()
    yield event
    event.set()


def test_what_has_begun_is_done_and_the_rest_is_dropped() -> None:
    done: list[int] = []

    def work(number: int) -> None:
        time.sleep(0.05)
        done.append(number)

    with pytest.raises(ValueError, match="a fault"), worker_threads.worker_threads(1) as executor:
        begun = executor.submit(work, 0)
        executor.submit(work, 1)
        while not begun.running():
            time.sleep(0.001)
        raise ValueError("a fault")
    assert done == [0]


def test_a_stop_leaves_a_thread_to_itself_that_waits_for_a_store(
    silent: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_threads, "_GRACE_SECONDS", 0.1)
    monkeypatch.setattr(worker_threads, "ending", StoppedError)

    def work(number: int) -> int:
        if number:
            silent.wait()
        return number

    results = in_order(work, range(9), num_workers=2)
    started = time.monotonic()
    assert next(results) == 0
    results.close()  # type: ignore[attr-defined]
    assert 0.1 <= time.monotonic() - started < 30
