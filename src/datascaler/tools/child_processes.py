"""Child processes: each ends when its parent does, even where the parent is killed.

A child that multiprocessing started, also through a fork server, learns it from a pipe that the parent holds. One that
was started by its command line gets the parent's pid in its environment, and compares.
"""

import atexit
import multiprocessing
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerContext
from multiprocessing.util import get_temp_dir

from datascaler.output_streams import guard_output
from datascaler.stop import SIGNALS, held_back
from datascaler.tools.foreign_warnings import listening

PARENT_VARIABLE = "DATASCALER_PARENT_PID"
"""Tells a process that is started by its command line its parent's pid."""
_LOOK_SECONDS = 0.5
_SAFE_PATH = {"PYTHONSAFEPATH": "1"}
"""Processes that multiprocessing starts import nothing from the working folder before they know where this
one looks.
"""
_LONGEST_TMPDIR_BYTES = 70
_SHORT_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm")


def child_environment() -> dict[str, str]:
    """What a child that is started by its command line needs in its environment: what `end_with_parent` asks for, and
    that it imports nothing from the working folder, where this process does not look either.
    """
    return {PARENT_VARIABLE: str(os.getpid()), **_SAFE_PATH}


def end_with_parent() -> None:
    """End this process, from now on, when the one that started it ends. One that a user started stays as it is."""
    parent = multiprocessing.parent_process()
    # Taken away: it does not speak of this process's own children.
    told = os.environ.pop(PARENT_VARIABLE, None)
    if parent is not None:
        sentinel = parent.sentinel
        _end_after(lambda: wait([sentinel]))
    elif told is not None:
        _end_after(lambda: _wait_until_orphaned(int(told)))


def begin_worker() -> None:
    """Let a worker process end with its parent only, which alone decides when to stop.

    The process's warning filters are its own, and stay as `heard` wants them; so is what it prints, which is made safe.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    listening().__enter__()
    guard_output()
    end_with_parent()


def fork_server(preload: Sequence[str]) -> ForkServerContext:
    """A context whose processes are forked from one that has imported `preload`, and hear no signal to stop.

    Object store clients do not survive a plain fork, and to import torch anew takes each process seconds.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(preload))
    start_resource_tracker()
    with held_back(), _environment(_SAFE_PATH), _room_for_sockets():
        forkserver.ensure_running()
    atexit.unregister(_end_fork_server)
    atexit.register(_end_fork_server, os.getpid())
    return context


def start_resource_tracker() -> None:
    """Start the process in which multiprocessing notes what is to be taken away at the end.

    It would be started on demand, and some versions of Python then let SIGTERM and Ctrl-C through again. What processes
    leave behind that were ended at once it takes away as it should, and need not say so after our last word.
    """
    given = os.environ.get("PYTHONWARNINGS")
    quiet = ",".join([*([given] if given else []), "ignore:resource_tracker:UserWarning"])
    with _environment({**_SAFE_PATH, "PYTHONWARNINGS": quiet}):
        resource_tracker.ensure_running()


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Processes that multiprocessing starts inside have these variables."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _room_for_sockets() -> Iterator[None]:
    """Inside, multiprocessing makes its folder for sockets, whose whole path must not be longer than 107 bytes."""
    before = tempfile.tempdir
    if len(os.fsencode(tempfile.gettempdir())) > _LONGEST_TMPDIR_BYTES:
        tempfile.tempdir = next((each for each in _SHORT_FOLDERS if os.access(each, os.W_OK | os.X_OK)), before)
    try:
        get_temp_dir()
        yield
    finally:
        tempfile.tempdir = before


def _end_fork_server(of: int) -> None:
    """A fork server that is still importing would notice its parent's end only afterwards, and fork a worker first."""
    pid: int | None = forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]
    if pid is not None and os.getpid() == of:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _wait_until_orphaned(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_SECONDS)


def _end_after(wait_for_parent: Callable[[], object]) -> None:
    def watch() -> None:
        wait_for_parent()
        os._exit(1)

    threading.Thread(target=watch, name="end with parent", daemon=True).start()
