"""Waits for others: whoever waits long says for what, so that a command that stands still is no riddle.

A wait is named by `waiting_for` where it is not bounded by itself. One thread of the process looks at all of them.
"""

import itertools
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

SAID_AFTER_SECONDS = 30.0
"""Then a wait is said; once more whenever it has lasted twice as long."""
_LOOK_SECONDS = 1.0
_PAUSE = threading.Event()
"""Nobody sets it."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Wait:
    what: str
    since: float
    next_word: float


_waits: dict[int, _Wait] = {}
_numbers = itertools.count()
_watcher: list[threading.Thread] = []
_starting = threading.Lock()


@contextmanager
def waiting_for(what: str) -> Iterator[None]:
    """While inside for long, a warning says that this process waits for `what`."""
    number, now = next(_numbers), time.monotonic()
    _waits[number] = _Wait(what, now, now + SAID_AFTER_SECONDS)
    _watch()
    try:
        yield
    finally:
        del _waits[number]


def _watch() -> None:
    # A forked process has the list, and not the thread.
    if _watcher and _watcher[0].is_alive():
        return
    with _starting:
        if not (_watcher and _watcher[0].is_alive()):
            _watcher[:] = [threading.Thread(target=_look, name="waits", daemon=True)]
            _watcher[0].start()


def _look() -> None:
    while True:
        _PAUSE.wait(_LOOK_SECONDS)
        now = time.monotonic()
        for wait in list(_waits.values()):
            if now >= wait.next_word:
                seconds = now - wait.since
                wait.next_word = now + seconds
                _log.warning("waiting for %s, for %.0f s by now", wait.what, seconds)
