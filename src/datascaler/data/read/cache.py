"""A node's own cache of what was read from far away: byte strings by key, in a folder of bounded size.

All processes of a node may share the folder, without a server. Nothing in it is trusted: an entry whose checksum is
wrong is deleted and was never there. A cache that cannot be written is one that forgets.
"""

import hashlib
import logging
import os
import struct
import uuid
import zlib
from contextlib import suppress
from pathlib import Path

from datascaler.data.read.cache_space import TEMPORARY_PREFIX, CacheSpace
from datascaler.errors import ConfigError, first_line

_HEADER = struct.Struct("<8sQI")
"""Magic, length of the content, and its CRC-32 seeded with the key's."""
_MAGIC = b"dscache1"

_log = logging.getLogger(__name__)


class BlockCache:
    """Gives back what was put, or None: any entry may be gone at any time."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        """The folder is made; it never holds more than `max_bytes` and one entry for each writer at work.

        Raises ConfigError if the folder cannot be made or written.
        """
        self._folder = folder
        self._max_bytes = max_bytes
        self._warned = False
        if max_bytes < 1:
            raise ConfigError(f"the size of the cache must be at least 1 byte, got {max_bytes}")
        try:
            self._space = CacheSpace(folder, max_bytes)
        except OSError as error:
            raise ConfigError(
                f"the cache folder {folder} cannot be used ({first_line(error)}); give one on a disk of this node"
            ) from error

    def get(self, key: str) -> bytes | None:
        """What was put under the key, which counts as a use of it; None if it is not there (any more)."""
        path = self._path(key)
        try:
            with path.open("rb", buffering=0) as file:
                header = file.read(_HEADER.size)
                content = file.readall()
        except FileNotFoundError:
            return None
        except OSError as error:
            self._warn(error)
            return None
        if header != _header(key, content):
            _log.warning("%s: damaged; it is deleted and read again", path)
            self.forget(key)
            return None
        with suppress(OSError):
            os.utime(path)
        return content

    def forget(self, key: str) -> None:
        """Drop what is kept under a key, because it is not what it should be."""
        with suppress(OSError):
            self._path(key).unlink(missing_ok=True)

    def put(self, key: str, content: bytes) -> None:
        """Keep the content under the key, unless there is some already: a key never changes its meaning.

        A disk that is full or broken is said once, and nothing is kept.
        """
        path = self._path(key)
        size = _HEADER.size + len(content)
        temporary = path.with_name(f"{TEMPORARY_PREFIX}{uuid.uuid4().hex}")
        try:
            if size > self._max_bytes or path.exists():
                return
            self._space.reserve(size)
            try:
                path.parent.mkdir(exist_ok=True)
                with temporary.open("wb", buffering=0) as file:
                    _write_all(file.fileno(), _header(key, content), content)
                temporary.replace(path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                self._space.release(size)
                raise
        except OSError as error:
            self._warn(error)

    def _path(self, key: str) -> Path:
        name = hashlib.blake2b(key.encode(), digest_size=20).hexdigest()
        return self._folder / name[:2] / name[2:]

    def _warn(self, error: OSError) -> None:
        if not self._warned:
            self._warned = True
            _log.warning("the cache in %s does not work (%s); going on without", self._folder, first_line(error))


def _header(key: str, content: bytes) -> bytes:
    return _HEADER.pack(_MAGIC, len(content), zlib.crc32(content, zlib.crc32(key.encode())))


def _write_all(file: int, *parts: bytes) -> None:
    """A disk that fills up takes a part and fails at the next call."""
    for part in parts:
        view = memoryview(part)
        while view:
            view = view[os.write(file, view) :]
