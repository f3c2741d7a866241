"""Turns on the same cores, of threads that would slow each other down."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Turn:
    """The turn that one thread takes over many: a model on the CPU is given all cores, and then the decoders are.

    Its threads wait for one another after every operation, so one that shares its core holds up all of them, by more
    than the other's work takes.
    """

    def __init__(self) -> None:
        self._free = threading.Event()
        self._free.set()

    def wait(self) -> None:
        """Block until nobody has the turn."""
        self._free.wait()

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Take it, from threads that wait for it before each piece of their work; a piece in hand is not stopped."""
        self._free.clear()
        try:
            yield
        finally:
            self._free.set()
