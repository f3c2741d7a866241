"""SIGTERM, Ctrl-C and their like: a command that is told to stop ends with 143 or 130, whatever it was doing.

The handler raises StoppedError in the main thread, in the middle of anything, and so it may be lost: in a bare `except`
of a library, or in a finalizer, of whose errors the interpreter prints a line and goes on. Therefore the request is
remembered: StoppedError is raised again every second unless one is being handled, and the exit code goes
by the request.
"""

import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, NoReturn

from datascaler.errors import StoppedByUserError, StoppedError
from datascaler.output_streams import write_error

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""What tells a command to stop. Job managers send SIGUSR1 or SIGUSR2 before a time limit; SIGHUP comes of a terminal
that is gone.
"""
_IN_A_PROGRAM = (signal.SIGTERM, signal.SIGINT)
"""What stops our loops in a program that is not our command: the others may mean something to it."""
_AGAIN_SECONDS = 1.0
_MOST_TIMES = 5
"""StoppedError is raised so often; whoever takes it that many times will always, and the process ends at once."""
_SAME_SECONDS = 1.0
"""A Ctrl-C that comes so soon after another is the same one, passed on by the process above."""


class _State:
    """The state of this process."""

    request: StoppedError | None = None
    requested = 0.0
    """The moment of the request, by the monotonic clock."""
    lost = 0
    """Times that StoppedError was taken by somebody."""
    deferred = False
    patience: float | None = None
    """Seconds that a deferred request leaves to the wait that the main thread is in; None outside of one."""
    listening = False


def listen(signals: Iterable[signal.Signals] = SIGNALS) -> None:
    """Let these signals stop this process, a command's own, from now on; they may have been blocked before."""
    for number in signals:
        # nohup has SIGHUP ignored.
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _on_signal)
    signal.signal(signal.SIGALRM, _on_alarm)
    sys.unraisablehook = _on_unraisable
    _State.listening = True
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)


def stop_requested() -> bool:
    return _State.request is not None


def stopped(message: str) -> StoppedError:
    """The error of work that has stopped because of the request; another process's, where this one has none."""
    return type(_State.request or StoppedError())(message)


def the_request() -> StoppedError | None:
    """The error that this process is to end with; None if nobody asked for its end."""
    return type(_State.request)(*_State.request.args) if _State.request else None


def ending() -> StoppedError | None:
    """The same where nobody has deferred it: then no thread needs to wait for anything more."""
    return None if _State.deferred else the_request()


def only_remember() -> None:
    """Requests are remembered from now on and raise nothing: the process is about to end by itself."""
    _State.deferred = True
    signal.setitimer(signal.ITIMER_REAL, 0)


@contextmanager
def deferred() -> Iterator[None]:
    """While inside, a request is only remembered, for a loop that looks at `stop_requested` between its steps; it is
    raised at the end, if nothing else was. In a program that is not our command, the signals are caught while inside.
    """
    before: dict[signal.Signals, Any] = {}
    if not _State.listening:
        with suppress(ValueError):  # not the main thread, which alone may catch signals
            before = {number: signal.signal(number, _on_signal) for number in _IN_A_PROGRAM}
    _State.deferred = True
    try:
        yield
        if request := the_request():
            raise request
    finally:
        _State.deferred = False
        if _State.listening and _State.request:
            _raise_again_in_time()
        for number, handler in before.items():
            signal.signal(number, handler)
        if not _State.listening:
            _State.request = None


@contextmanager
def patient(seconds: float) -> Iterator[None]:
    """A wait inside `deferred`, in the main thread: where a request finds no end of it within `seconds`, it is raised
    there.
    """
    before, _State.patience = _State.patience, seconds
    if _State.deferred and _State.request:
        _arm(seconds)
    try:
        yield
    finally:
        _State.patience = before
        if _State.deferred and before is None and _State.request:
            signal.setitimer(signal.ITIMER_REAL, 0)


@contextmanager
def held_back() -> Iterator[None]:
    """Processes that are started inside have the signals blocked until they listen: a terminal sends Ctrl-C to all
    processes at once, also to those that are still importing. This process gets the signals afterwards.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def ctrl_c_interrupts() -> Iterator[None]:
    """While inside, Ctrl-C raises KeyboardInterrupt: for commands that watch a run, which goes on without them."""
    before = signal.getsignal(signal.SIGINT)
    if before is _on_signal:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        if before is _on_signal:
            signal.signal(signal.SIGINT, before)


def _on_signal(number: int, _frame: FrameType | None) -> None:
    name = signal.Signals(number)
    if _State.request is None:
        error = StoppedByUserError if name == signal.SIGINT else StoppedError
        _State.request = error("stopped on request; the same command goes on")
        _State.requested = time.monotonic()
        if not _State.deferred:
            _raise_again_in_time()
            raise _State.request
        if _State.patience is not None:
            _arm(_State.patience)
    elif name == signal.SIGINT and time.monotonic() - _State.requested > _SAME_SECONDS:
        _end_at_once(StoppedByUserError("ended at once; the same command goes on"))


def _end_at_once(error: StoppedError) -> NoReturn:
    write_error(f"datascaler: error: {error}\n")
    os._exit(error.exit_code)


def _raise_again_in_time() -> None:
    signal.setitimer(signal.ITIMER_REAL, _AGAIN_SECONDS, _AGAIN_SECONDS)


def _arm(seconds: float) -> None:
    """Have the request raised after so long; in a program that is not our command, the alarm is ours meanwhile."""
    import threading

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGALRM, _on_alarm)
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _on_alarm(_number: int, _frame: FrameType | None) -> None:
    if _State.deferred and _State.patience is None:
        return
    if (request := the_request()) and not _is_handled(sys.exception()):
        _State.lost += 1
        if _State.lost > _MOST_TIMES:
            _end_at_once(request)
        raise request


def _is_handled(error: BaseException | None) -> bool:
    """Whether the main thread is cleaning up after a StoppedError; another one would cut that short."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, StoppedError):
            return True
        seen.add(id(error))
        error = error.__context__
    return False


def _on_unraisable(unraisable: "sys.UnraisableHookArgs") -> None:
    if not isinstance(unraisable.exc_value, StoppedError):
        sys.__unraisablehook__(unraisable)
