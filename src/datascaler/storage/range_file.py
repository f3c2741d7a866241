"""A remote object as a seekable file: blocks are fetched as ranges, each one patiently."""

import io
from collections.abc import Callable
from typing import IO, cast


class RangeFile(io.RawIOBase):
    """Unbuffered: every read is one fetch. `open_blocks` puts read-ahead on top."""

    def __init__(
        self, size: int, fetch: Callable[[int, int], bytes], on_close: Callable[[], None] | None = None
    ) -> None:
        """`size` in bytes; `fetch(start, end)` gives the bytes [start, end) of an object that stays what it is."""
        self._size = size
        self._fetch = fetch
        self._on_close = on_close
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError(f"cannot seek to {base + offset}, before the start of the file")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        content = self._next(len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def readall(self) -> bytes:
        return self._next(self._size)

    def close(self) -> None:
        if not self.closed and self._on_close:
            self._on_close()
        super().close()

    def _next(self, count: int) -> bytes:
        end = min(self._position + count, self._size)
        if self._position >= end:
            return b""
        content = self._fetch(self._position, end)
        self._position += len(content)
        return content


def open_blocks(file: RangeFile, block_bytes: int) -> IO[bytes]:
    """The file with read-ahead: small reads are served from a block of `block_bytes`."""
    return cast(IO[bytes], io.BufferedReader(file, block_bytes))
