"""The streams of a process: what it prints is made safe, and a display that fails never ends the work."""

import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from datascaler.safe_text import printable_lines, redacted


def guard_output() -> None:
    """Let all that this process prints from now on pass through here: results, logs, warnings, tracebacks.

    Where standard output or error is closed, it is opened to nowhere: the next file that is opened would take its
    place, and be written into.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest that is free
    if not isinstance(sys.stdout, _Guarded):
        sys.stdout = _Guarded(sys.stdout or open(1, "w", closefd=False))  # noqa: SIM115
    if not isinstance(sys.stderr, _Guarded):
        sys.stderr = _Display(sys.stderr or open(2, "w", closefd=False))  # noqa: SIM115


def write_error(line: str) -> None:
    """Write a line to standard error where nothing else can be relied on: in a signal's handler, or at the very end."""
    with suppress(OSError):
        os.write(2, line.encode())


class _Guarded:
    """A text stream whose texts are made safe, and lines stay lines."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(printable_lines(redacted(text)))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Display(_Guarded):
    """Standard error: progress and notes, which nobody may be there to read. What can't be shown is counted, and said
    once something can be shown again. Results go to standard output, whose failure is an error.
    """

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self._lost = 0
        """Letters that were not shown since the last that were."""

    def write(self, text: str) -> int:
        said, self._lost = self._lost, 0
        try:
            if said:
                super().write(f"datascaler: warning: up to {said:,} letters could not be shown here\n")
            super().write(text)
        except (OSError, ValueError):  # a full disk, a terminal or a reader that is gone, a closed stream
            self._lost = said + len(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()
