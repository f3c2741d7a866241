"""A copy of a command's output in storage: this process runs the command as a child, passes on what it prints, and
publishes it every 30 s and at the end. Unlike a copy made inside the command it also has a crash's last words.

DATASCALER_LOG_DIR    folder or URL of the copies; without it none is made
DATASCALER_POD        names the copy, `<pod>.<UTC start>.log`; else the host does
"""

import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import IO

from datascaler.stop import SIGNALS
from datascaler.tools.child_processes import child_environment

LOG_DIR, POD = "DATASCALER_LOG_DIR", "DATASCALER_POD"
CODES, CODE_SUFFIX = "codes", ".code"
"""The folder below that of the logs, and the ends of its files: each holds the exit code of a log's command."""

_PUBLISH_SECONDS = 30.0
_FIRST_PUBLISH_SECONDS = 2.0
"""Soon, so that a wrong folder is the first thing that is said, and not the last."""
_LAST_PUBLISH_SECONDS = 45.0
"""A store that does not answer must not hold up the end of a pod for longer."""
_DRAIN_SECONDS = 5.0
"""How long processes that outlive the command are listened to."""
_PART_BYTES = 16 << 20
"""A longer log goes on in `.2.log`: object stores cannot append, so a part is sent whole each time."""
_MOST_PARTS = 8
"""Parts that wait on disk for a store that fails; older ones are given up."""


def run_with_log_copy(arguments: Sequence[str]) -> int:
    """Run `datascaler ARGUMENTS` and return its exit code. Whatever goes wrong with the copy, the command goes on."""
    log = _Log(os.environ[LOG_DIR])
    stopped: list[int] = []
    children: list[subprocess.Popen[bytes]] = []

    def pass_on(number: int, _frame: object) -> None:
        stopped.append(number)
        for child in children:
            child.send_signal(number)

    for number in SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, pass_on)
    # The child, and its own children, are not to copy once more.
    environment = {name: value for name, value in os.environ.items() if name != LOG_DIR}
    child = subprocess.Popen(
        [sys.executable, "-m", "datascaler", *arguments],
        env=environment | {"PYTHONUNBUFFERED": "1"} | child_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
    )
    children.append(child)
    if stopped:
        child.send_signal(stopped[0])
    assert child.stdout is not None
    assert child.stderr is not None
    publisher = threading.Thread(target=log.publish_until_closed, daemon=True)
    publisher.start()
    _pass_output(child, {child.stdout: 1, child.stderr: 2}, log)
    code = child.wait()
    if code < 0:
        line = f"datascaler: error: ended by signal {-code} ({signal.strsignal(-code)})\n".encode()
        _write(2, line)
        log.add(line)
    code = code if code >= 0 else 128 - code
    if stopped and code == 0:
        code = 128 + stopped[0]  # it came too late for the command, and is not swallowed
    log.close(code)
    publisher.join(_LAST_PUBLISH_SECONDS)
    if publisher.is_alive():
        os._exit(code)  # the interpreter's own way out would wait for the store's threads
    return code


class _Log:
    """What was printed so far, on disk, in parts; and its way into storage."""

    def __init__(self, folder: str) -> None:
        name = os.environ.get(POD) or socket.gethostname()
        self._base = f"{folder.rstrip('/')}/{name}.{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._parts: dict[int, IO[bytes]] = {}
        self._sizes: dict[int, int] = {}
        self._published: dict[int, int] = {}
        self._number, self._warned, self._code = 1, False, 0

    def add(self, content: bytes) -> None:
        with self._lock:
            try:
                if self._sizes.get(self._number, 0) >= _PART_BYTES:
                    self._number += 1
                if self._number not in self._parts:
                    self._parts[self._number] = tempfile.TemporaryFile()  # noqa: SIM115
                    self._sizes[self._number] = 0
                    self._drop(self._number - _MOST_PARTS)
                part = self._parts[self._number]
                part.seek(self._sizes[self._number])
                part.write(content)
                self._sizes[self._number] += len(content)
            except OSError as error:
                self._warn(error)

    def publish_until_closed(self) -> None:
        pause = _FIRST_PUBLISH_SECONDS
        while not self._closed.wait(pause):
            self._publish()
            pause = _PUBLISH_SECONDS
        self._publish()
        self._publish_code()
        for number in list(self._parts):
            self._drop(number)

    def close(self, code: int) -> None:
        self._code = code
        self._closed.set()

    def _publish_code(self) -> None:
        """How the command ended, for whoever looks when the pod is gone."""
        from datascaler import storage

        try:
            folder, _, name = self._base.rpartition("/")
            storage.publish_bytes(f"{folder}/{CODES}/{name}{CODE_SUFFIX}", f"{self._code}\n".encode())
        except Exception as error:  # as of the log
            self._warn(error)

    def _publish(self) -> None:
        """Every part that has grown."""
        with self._lock:
            grown = [number for number in self._parts if self._sizes[number] != self._published.get(number)]
        for number in grown:
            try:
                self._publish_part(number)
            except Exception as error:  # whatever it is, the command is more important
                self._warn(error)
                return
            self._drop_finished()

    def _publish_part(self, number: int) -> None:
        from datascaler import storage

        size = self._sizes[number]
        with storage.publish(self._base + (".log" if number == 1 else f".{number}.log")) as target:
            for start in range(0, size, 1 << 20):
                with self._lock:
                    self._parts[number].seek(start)
                    chunk = self._parts[number].read(min(1 << 20, size - start))
                target.write(chunk)
        self._published[number] = size

    def _drop_finished(self) -> None:
        """A part may have grown while it was sent, before the next one began: then it is sent once more."""
        with self._lock:
            for number in list(self._parts):
                if number < self._number and self._published.get(number) == self._sizes[number]:
                    self._drop(number)

    def _drop(self, number: int) -> None:
        part = self._parts.pop(number, None)
        if part:
            part.close()

    def _warn(self, error: Exception) -> None:
        if not self._warned:
            self._warned = True
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            _write(2, f"datascaler: warning: this log is not copied, trying on: {reason}\n".encode())


def _pass_output(child: "subprocess.Popen[bytes]", streams: dict[IO[bytes], int], log: _Log) -> None:
    """Pass output on until both streams end, or the child has ended and its own children are silent."""
    with selectors.DefaultSelector() as selector:
        for stream in streams:
            selector.register(stream, selectors.EVENT_READ)
        deadline = None
        while selector.get_map():
            ready = selector.select(timeout=0.5)
            for key, _ in ready:
                content = os.read(key.fd, 1 << 16)
                if content:
                    _write(streams[key.fileobj], content)  # type: ignore[index]
                    log.add(content)
                else:
                    selector.unregister(key.fileobj)
            if child.poll() is not None:
                deadline = deadline or time.monotonic() + _DRAIN_SECONDS
                if not ready or time.monotonic() > deadline:
                    return


def _write(descriptor: int, content: bytes) -> None:
    """All of it; a reader that is gone is not this process's business."""
    try:
        while content:
            content = content[os.write(descriptor, content) :]
    except OSError:
        pass
