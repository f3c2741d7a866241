"""Waiting on conditions: generous in time, and telling what was seen when it runs out."""

import time
from collections.abc import Callable


def until(
    condition: Callable[[], object], what: str, seconds: float = 300, seen: Callable[[], str] = lambda: ""
) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}\n{seen()}"
        time.sleep(0.5)
