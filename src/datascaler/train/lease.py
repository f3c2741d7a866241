"""A run folder belongs to one trainer at a time: `lease.json` in it names the holder.

On a disk the file is locked; the kernel frees the lock when its holder ends, however it ends. In an object store the
holder rewrites the file every 10 s, and one that stays as it is for 30 s is taken over: no two clocks are compared.
"""

import fcntl
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from datascaler import storage
from datascaler.errors import NotFoundError, StorageError, TryAgainError

_RENEW_SECONDS = 10.0
_EXPIRY_SECONDS = 30.0
_PATIENCE_SECONDS = 5.0
"""The time that a holder has which is just ending."""
_POLL_SECONDS = 0.5


class Lease:
    """The right to write into a run folder."""

    def __init__(self, run_url: str, say: Callable[[str], None] = lambda _: None) -> None:
        self._run, self._url, self._say = run_url, storage.join(run_url, "lease.json"), say
        self._holder = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "since": f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC",
            "token": uuid.uuid4().hex,
        }
        self._renewals = 0
        self._lock: int | None = None
        """File descriptor, on a disk."""
        self._ended = threading.Event()
        self._renewer: threading.Thread | None = None
        """The thread that renews the lease in an object store."""

    def take(self) -> None:
        """Raises TryAgainError, which names the holder, while another process has the folder."""
        if storage.is_local(self._url):
            with storage.translated_errors(self._url):
                if self._take_lock():
                    return
        self._take_file()
        self._renewer = threading.Thread(target=self._renew_until_released, name="lease", daemon=True)
        self._renewer.start()

    def check(self) -> None:
        """Raises TryAgainError if the lease is lost, as after a pause of this process that was longer than it lasts."""
        if self._renewer and not self._is_mine():
            raise TryAgainError(f"{self._run} was taken over by another trainer while this one could not be heard of")

    def release(self) -> None:
        """Nothing, if it was never taken."""
        if self._lock is not None:
            # In this order: nobody may lock the file in between and then find it removed.
            with suppress(OSError):
                Path(_path(self._url)).unlink()
            os.close(self._lock)
            self._lock = None
        if self._renewer:
            self._ended.set()
            self._renewer.join(_RENEW_SECONDS)
            with suppress(StorageError):
                if self._is_mine():
                    storage.remove(self._url)
            self._renewer = None

    # ---- a lock ------------------------------------------------------------------------------------------------

    def _take_lock(self) -> bool:
        """False where the file system has no locks."""
        path = Path(_path(self._url))
        path.parent.mkdir(parents=True, exist_ok=True)
        if not _has_locks(path.parent):
            return False
        started = time.monotonic()
        while True:
            lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Not one that its holder has removed in the meantime.
                with suppress(FileNotFoundError):
                    if os.path.samestat(os.fstat(lock), path.stat()):
                        os.ftruncate(lock, 0)
                        os.write(lock, self._content())
                        self._lock = lock
                        return True
            except BlockingIOError:
                if time.monotonic() - started > _PATIENCE_SECONDS:
                    raise self._refusal(os.pread(lock, 4096, 0)) from None
                time.sleep(_POLL_SECONDS)
            finally:
                if self._lock is None:
                    os.close(lock)

    # ---- a file that is rewritten ------------------------------------------------------------------------------

    def _take_file(self) -> None:
        started, first = time.monotonic(), None
        while not storage.publish_if_absent(self._url, self._content()):
            with suppress(NotFoundError):
                now, waited = storage.read_bytes(self._url), time.monotonic() - started
                if first is None:
                    first = now
                    self._say(f"waiting    up to {_EXPIRY_SECONDS:.0f} s for {_named(now)}, which has the run's folder")
                elif now != first and waited > _PATIENCE_SECONDS:
                    raise self._refusal(now)
                elif now == first and waited > _EXPIRY_SECONDS:
                    storage.remove(self._url)
                    continue
            time.sleep(_POLL_SECONDS)

    def _renew_until_released(self) -> None:
        while not self._ended.wait(_RENEW_SECONDS):
            with suppress(StorageError):  # `check` speaks up, or the store is back
                if not self._is_mine():
                    return
                self._renewals += 1
                storage.publish_bytes(self._url, self._content())

    def _is_mine(self) -> bool:
        try:
            return _parsed(storage.read_bytes(self._url)).get("token") == self._holder["token"]
        except NotFoundError:
            return False

    # ---- what it says ------------------------------------------------------------------------------------------

    def _content(self) -> bytes:
        return json.dumps(self._holder | {"renewals": self._renewals}).encode() + b"\n"

    def _refusal(self, content: bytes) -> TryAgainError:
        return TryAgainError(
            f"{_named(content)} trains in {self._run}: wait for its end or end it, or use another --output-dir"
        )


def _named(content: bytes) -> str:
    holder = _parsed(content)
    if not holder:
        return "another process"
    return f"process {holder.get('pid')} on {holder.get('host')} (since {holder.get('since')})"


def _parsed(content: bytes) -> dict[str, object]:
    try:
        holder = json.loads(content)
    except ValueError:
        return {}
    return holder if isinstance(holder, dict) else {}


def _has_locks(folder: Path) -> bool:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def _path(url: str) -> str:
    return url.removeprefix("file://")
