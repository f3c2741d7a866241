"""How much a node's cache folder holds: one count for all processes of the node, and eviction when it is full.

The count stands in a file, which is also the lock. It may say too much (a process died after it had reserved space),
which the next scan of the folder mends; a scan is needed only when the count says full, so it is rare.
"""

import fcntl
import os
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from datascaler.tools.waits import waiting_for

TEMPORARY_PREFIX = "tmp-"
"""Names of files that are being written begin with it."""

_COUNT_FILE = "space"
_COUNT = struct.Struct("<QQ")
"""Bytes in the folder, and when that was last counted, in seconds since 1970."""
_STALE_SECONDS = 600
"""A process that starts trusts a count younger than this: many start at once. Older temporary files are debris."""
_FREE_FRACTION = 0.1
"""Freed by an eviction, so that the next scan is far away."""


class CacheSpace:
    """A budget of bytes below a folder, shared by processes and threads."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        """Counts what is there, unless somebody has just done so. Raises OSError."""
        self._folder = folder
        self._max_bytes = max_bytes
        folder.mkdir(parents=True, exist_ok=True)
        with self._locked() as count_file:
            _, counted = _read(count_file)
            if not 0 <= time.time() - counted <= _STALE_SECONDS:
                _write(count_file, self._evict_to(max_bytes), int(time.time()))

    def reserve(self, count: int) -> None:
        """Take `count` bytes, and evict the least recently used files if they would not fit. Raises OSError."""
        with self._locked() as count_file:
            used, counted = _read(count_file)
            if used + count > self._max_bytes:
                used = self._evict_to(int(self._max_bytes * (1 - _FREE_FRACTION)) - count)
                counted = int(time.time())
            _write(count_file, used + count, counted)

    def release(self, count: int) -> None:
        """Give back what was reserved and not used."""
        with self._locked() as count_file:
            used, counted = _read(count_file)
            _write(count_file, max(used - count, 0), counted)

    @contextmanager
    def _locked(self) -> Iterator[int]:
        # A descriptor of its own: threads of one process must wait for one another too.
        count_file = os.open(self._folder / _COUNT_FILE, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            # Without locks, as on some network disks, processes at one moment may count a little wrong.
            with suppress(OSError), waiting_for("other processes that use the cache"):
                fcntl.flock(count_file, fcntl.LOCK_EX)
            yield count_file
        finally:
            os.close(count_file)

    def _evict_to(self, target: int) -> int:
        """Delete the files used longest ago until `target` bytes are left; the bytes that are there then."""
        debris_ns = time.time_ns() - _STALE_SECONDS * 10**9
        total = 0
        files: list[tuple[int, int, str]] = []
        for used_ns, size, entry in self._files():
            total += size
            if used_ns < debris_ns or not entry.name.startswith(TEMPORARY_PREFIX):
                files.append((used_ns, size, entry.path))
        for _, size, path in sorted(files):
            if total <= target:
                break
            # Somebody may have deleted it first, which is as good.
            Path(path).unlink(missing_ok=True)
            total -= size
        return total

    def _files(self) -> Iterator[tuple[int, int, "os.DirEntry[str]"]]:
        """(time of last use in ns, bytes, entry) of all entries, and of files that are being written."""
        for folder in self._folder.iterdir():
            if folder.is_dir():
                for entry in os.scandir(folder):
                    with suppress(FileNotFoundError):
                        stat = entry.stat()
                        yield stat.st_mtime_ns, stat.st_size, entry


def _read(count_file: int) -> tuple[int, int]:
    content = os.pread(count_file, _COUNT.size, 0)
    return _COUNT.unpack(content) if len(content) == _COUNT.size else (0, 0)


def _write(count_file: int, used: int, counted: int) -> None:
    os.pwrite(count_file, _COUNT.pack(used, counted), 0)
