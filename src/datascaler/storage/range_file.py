"""A remote object as a seekable file: blocks are fetched as ranges, each one patiently."""

import io
from collections.abc import Callable
from typing import IO, cast


class RangeFile(io.RawIOBase):
    """Unbuffered: every read is one fetch. `open_blocks` puts read-ahead on top."""

    def __init__(
        self, size: int, fill: Callable[[int, memoryview], None], on_close: Callable[[], None] | None = None
    ) -> None:
        """`size` in bytes; `fill(start, buffer)` fills the buffer from `start` on, of an object that stays the same."""
        self._size = size
        self._fill = fill
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
        count = min(len(buffer), self._size - self._position)
        if count <= 0:
            return 0
        self._fill(self._position, memoryview(buffer)[:count])
        self._position += count
        return count

    def readall(self) -> bytes:
        rest = bytearray(max(self._size - self._position, 0))
        self.readinto(memoryview(rest))
        return bytes(rest)

    def close(self) -> None:
        if not self.closed and self._on_close:
            self._on_close()
        super().close()


def open_blocks(file: RangeFile, block_bytes: int) -> IO[bytes]:
    """The file with read-ahead: small reads are served from a block of `block_bytes`."""
    return cast(IO[bytes], io.BufferedReader(file, block_bytes))
