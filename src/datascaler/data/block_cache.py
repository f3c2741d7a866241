"""What was kept of blocks, on a node's own disk, for runs of several epochs: bounded, and shared by its processes.

A file an entry, published by rename. There is no index: the newest `mtime` is the last use, so the folder itself is the
least-recently-used list, and processes that come, go or are killed leave nothing behind that anybody must repair.
"""

import fcntl
import logging
import os
import struct
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path
from zlib import crc32

_MAGIC = b"dscache1"
_HEADER = struct.Struct("<8sIQ")
"""Magic, CRC-32 of the content, and its length."""
_ROOM = 0.9
"""What an eviction leaves, of the limit: so that the folder is scanned rarely."""
_RESCAN_SHARE = 0.05
"""Of the limit: after writing so much a process looks at the folder again, for what others wrote."""
_ORPHANED_SECONDS = 3600

_log = logging.getLogger(__name__)


class BlockCache:
    """Byte strings by key. A wrong, missing or unwritable entry is a miss, never an error."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        """`folder` may be shared by any number of processes of a node; it never grows beyond `max_bytes` by more than
        what each of them writes between two looks at it, a twentieth of that.
        """
        self._folder = folder
        self._max_bytes = max_bytes
        self._written = 0
        """Bytes since the last look."""
        self._warned = False
        with self._failures_are_misses():
            folder.mkdir(parents=True, exist_ok=True)
            self._make_room()

    def get(self, key: str) -> bytes | None:
        path = self._path(key)
        try:
            raw = path.read_bytes()
        except OSError:
            return None
        content = raw[_HEADER.size :]
        if raw[: _HEADER.size] != _HEADER.pack(_MAGIC, crc32(content), len(content)):
            path.unlink(missing_ok=True)
            return None
        with suppress(OSError):  # evicted meanwhile
            os.utime(path)
        return content

    def put(self, key: str, content: bytes) -> None:
        if len(content) + _HEADER.size > self._max_bytes * _ROOM:
            return
        path = self._path(key)
        with self._failures_are_misses():
            path.parent.mkdir(exist_ok=True)
            temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
            try:
                temporary.write_bytes(_HEADER.pack(_MAGIC, crc32(content), len(content)) + content)
                temporary.replace(path)
            except OSError:
                temporary.unlink(missing_ok=True)
                raise
            self._written += len(content) + _HEADER.size
            if self._written > self._max_bytes * _RESCAN_SHARE:
                self._make_room()

    def _path(self, key: str) -> Path:
        """256 folders, so that none holds too many files."""
        name = blake2b(key.encode(), digest_size=16).hexdigest()
        return self._folder / name[:2] / name[2:]

    def _make_room(self) -> None:
        """Evict what was used longest ago until a tenth is free. One process at a time; the others need not wait."""
        self._written = 0
        with (self._folder / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            entries = sorted(self._entries())
            total = sum(size for _, size, _ in entries)
            if total <= self._max_bytes:
                return
            for _, size, path in entries:
                path.unlink(missing_ok=True)
                total -= size
                if total <= self._max_bytes * _ROOM:
                    return

    def _entries(self) -> Iterator[tuple[int, int, Path]]:
        """Last use in ns, size and path of every entry; what a killed process left half-written goes."""
        for folder in self._folder.iterdir():
            if len(folder.name) != 2:
                continue
            for entry in os.scandir(folder):
                with suppress(FileNotFoundError):
                    info = entry.stat()
                    if entry.name.endswith(".tmp") and time.time() - info.st_mtime > _ORPHANED_SECONDS:
                        Path(entry.path).unlink()
                        continue
                    yield info.st_mtime_ns, info.st_size, Path(entry.path)

    @contextmanager
    def _failures_are_misses(self) -> Iterator[None]:
        """A full or broken disk costs the cache, with one warning, and never the run."""
        try:
            yield
        except OSError as error:
            if not self._warned:
                self._warned = True
                _log.warning("the cache in %s can't be written (%s); the run goes on without it", self._folder, error)
