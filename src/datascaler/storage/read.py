"""Reading content: whole files, ranges, open files, and local copies for libraries that want a path."""

import errno
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import IO, Any

from datascaler.errors import ConfigError, StorageError, first_line
from datascaler.storage.client import fast_store
from datascaler.storage.error_translation import (
    CHANGED,
    WrongLengthError,
    is_past_end,
    is_transient,
    require_length,
    translated_errors,
)
from datascaler.storage.filesystem import filesystem
from datascaler.storage.http_files import is_http, pinned
from datascaler.storage.info import stat
from datascaler.storage.obstore_read import open_object, read_object_ranges
from datascaler.storage.range_file import RangeFile, open_blocks
from datascaler.storage.retry import retried
from datascaler.storage.temporary import named_full_disk, temporary_folder
from datascaler.storage.urls import basename, is_local, local_path

_PART_BYTES = 8 << 20
_PARTS_AT_ONCE = 8
_ONE_REQUEST_BYTES = _PART_BYTES * _PARTS_AT_ONCE
"""A file up to this is read whole by one request: S3 sends the checksum of a file, and none of a part."""


def open_read(url: str, block_bytes: int = 8 << 20) -> IO[bytes]:
    """A seekable binary file that reads ahead in blocks. One that changes while it is open is an error."""
    fast = fast_store(url)
    if fast:
        return open_blocks(RangeFile(*open_object(url, *fast)), block_bytes)
    if is_local(url):
        return _open_local(url)
    if is_http(url):
        return _open_http(url, block_bytes)
    fs, path = filesystem(url)
    # Its own read-ahead would hide where a read broke off.
    file = retried(url, lambda: fs.open(path, "rb", block_size=block_bytes, cache_type="none"))

    def fill(start: int, buffer: memoryview) -> None:
        def act() -> None:
            file.seek(start)
            content = file.read(len(buffer))
            require_length(url, start, start + len(buffer), len(content), lambda: size)
            buffer[:] = content

        retried(url, act)

    size = int(file.seek(0, os.SEEK_END))
    return open_blocks(RangeFile(size, fill, file.close), block_bytes)


def _open_http(url: str, block_bytes: int) -> IO[bytes]:
    (fs, path), info = filesystem(url), stat(url)

    def fill(start: int, buffer: memoryview) -> None:
        def act() -> None:
            end = start + len(buffer)
            content = fs.cat_file(path, start=start, end=end, headers=pinned(info.etag))
            require_length(url, start, end, len(content), lambda: info.size)
            buffer[:] = content

        retried(url, act)

    return open_blocks(RangeFile(info.size, fill), block_bytes)


def read_bytes(url: str, start: int | None = None, end: int | None = None) -> bytes:
    """The file's bytes [start, end), or all of them; fewer where the file ends before `end`."""
    if end is not None:
        return read_ranges(url, [(start or 0, end)])[0]
    if start:
        return read_ranges(url, [(start, max(start, stat(url).size))])[0]
    if is_local(url):
        # What a shell hands over, as in --classnames <(ls), can be read once from its start.
        handed_over = local_path(url).startswith(("/dev/", "/proc/"))
        with translated_errors(url), _open_local(url, may_be_pipe=handed_over) as file:
            return file.read()

    def act() -> bytes:
        before = stat(url)
        content = b"".join(_pieces(url, before.size))
        if before.size > _ONE_REQUEST_BYTES and stat(url) != before:
            raise WrongLengthError(CHANGED)
        return content

    return retried(url, act)


def read_ranges(url: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
    """The file's byte ranges [start, end), fetched at once, in the order asked for.

    There is one request for each: put what lies close together into one range. A range beyond the file's end gives
    fewer bytes, or none; where a store sends fewer than the file has, it is asked again.

    Raises NotFoundError, StorageError.
    """
    if is_local(url):
        return _read_local(url, ranges)
    fast = fast_store(url)
    if fast:
        return read_object_ranges(url, *fast, ranges)
    fs, path = filesystem(url)
    contents = [b""] * len(ranges)
    missing = [number for number, (start, end) in enumerate(ranges) if start < end]

    def act() -> None:
        """What has come stays, when others are asked for again."""
        starts, ends = [ranges[number][0] for number in missing], [ranges[number][1] for number in missing]
        failed: list[int] = []
        errors: list[BaseException] = []
        for number, answer in zip(missing, fs.cat_ranges([path] * len(missing), starts, ends), strict=True):
            start, end = ranges[number]
            try:
                if isinstance(answer, BaseException) and not is_past_end(answer):
                    raise answer
                content = b"" if isinstance(answer, BaseException) else bytes(answer)
                require_length(url, start, end, len(content), lambda: stat(url).size)
                contents[number] = content
            except Exception as error:
                failed.append(number)
                errors.append(error)
        missing[:] = failed
        if errors:
            raise next((error for error in errors if not is_transient(error)), errors[0])

    retried(url, act)
    return contents


def read_text(url: str) -> str:
    return read_bytes(url).decode("utf-8")


def read_json(url: str) -> Any:
    try:
        return json.loads(read_bytes(url))
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{url}: not valid JSON ({first_line(error)})") from error


@contextmanager
def local_copy(url: str) -> Iterator[Path]:
    """A local path with the file's content: the file itself, or a temporary download that goes with the context."""
    before = stat(url)
    if is_local(url):
        os.close(_descriptor(url))
        yield Path(local_path(url))
        return
    with temporary_folder() as folder:
        target = folder / basename(url)

        def act() -> None:
            with named_full_disk():
                _download(url, before.size, target)

        retried(url, act)
        if stat(url) != before:
            raise StorageError(f"{url}: {CHANGED}")
        yield target


def read_local_into(url: str, start: int, buffer: memoryview) -> int:
    """Fill the buffer with a local file's bytes from `start` on; how many there were.

    For one who reads much and keeps little of it: a buffer that is used again needs no new memory for every read.
    """
    with opened_local(url) as descriptor:
        return _fill(descriptor, start, buffer)


def expect_local(url: str, ranges: Sequence[tuple[int, int]]) -> None:
    """Have the system read parts [start, end) of a local file into its cache, without waiting for it."""
    if hasattr(os, "posix_fadvise"):
        with opened_local(url) as descriptor:
            for start, end in ranges:
                os.posix_fadvise(descriptor, start, end - start, os.POSIX_FADV_WILLNEED)


def _read_local(url: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
    with opened_local(url) as descriptor:
        return [_pread(descriptor, start, max(end - start, 0)) for start, end in ranges]


def _pread(descriptor: int, start: int, size: int) -> bytes:
    content = os.pread(descriptor, size, start)
    if len(content) in (0, size):
        return content
    # Some file systems give less than there is, and Linux never more than 2 GiB.
    rest = bytearray(size - len(content))
    count = _fill(descriptor, start + len(content), memoryview(rest))
    return content + bytes(rest[:count])


def _fill(descriptor: int, start: int, buffer: memoryview) -> int:
    """Read until the buffer is full or the file ends; how many bytes there were."""
    done = 0
    while done < len(buffer) and (count := os.preadv(descriptor, [buffer[done:]], start + done)):
        done += count
    return done


@contextmanager
def opened_local(url: str) -> Iterator[int]:
    """A descriptor of a local file, for `os.pread`. Raises NotFoundError and StorageError, for what is read too."""
    with translated_errors(url):
        descriptor = _descriptor(url)
        try:
            yield descriptor
        finally:
            os.close(descriptor)


def _open_local(url: str, *, may_be_pipe: bool = False) -> IO[bytes]:
    """A file that has its path for a name. Raises as `opened_local` does."""
    return open(local_path(url), "rb", opener=lambda *_: _descriptor(url, may_be_pipe=may_be_pipe))


def _descriptor(url: str, *, may_be_pipe: bool = False) -> int:
    """Open a local file. A pipe without a writer would be waited for without an end, so pipes are refused."""
    with translated_errors(url):
        path = local_path(url)
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | (0 if may_be_pipe else os.O_NONBLOCK))
        mode = os.fstat(descriptor).st_mode
        if may_be_pipe or S_ISREG(mode):
            return descriptor
        os.close(descriptor)
        if S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        raise StorageError(f"{url}: it is a pipe or a device, and a file is needed: write its content to one")


def _download(url: str, size: int, target: Path) -> None:
    with target.open("wb") as file:
        file.writelines(_pieces(url, size))


def _pieces(url: str, size: int) -> Iterator[bytes]:
    """A remote file of this size: in one piece, or in parts, so that one that breaks off does not cost the others.

    Raises WrongLengthError where one piece is not of this size.
    """
    if size <= _ONE_REQUEST_BYTES:
        fs, path = filesystem(url)
        # Left alone, s3fs asks for the size once more, and decides by it.
        in_one = {"max_concurrency": 1} if url.startswith(("s3://", "s3a://")) else {}
        content = bytes(fs.cat_file(path, **in_one))
        require_length(url, 0, size, len(content), lambda: size)
        yield content
        return
    parts = [(start, min(start + _PART_BYTES, size)) for start in range(0, size, _PART_BYTES)]
    for at in range(0, len(parts), _PARTS_AT_ONCE):
        yield from read_ranges(url, parts[at : at + _PARTS_AT_ONCE])
