"""SIGTERM means: finish the step, save, leave. Kubernetes sends it and waits for the grace period."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_requested = False


def stop_requested() -> bool:
    return _requested


@contextmanager
def stop_on_sigterm() -> Iterator[None]:
    """While inside, SIGTERM only raises a flag that the loop looks at between steps."""
    global _requested
    _requested = False
    before = signal.signal(signal.SIGTERM, _request)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _request(_number: int, _frame: FrameType | None) -> None:
    global _requested
    _requested = True
