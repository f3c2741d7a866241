"""Reading: whole files, ranges, listings, and local copies for libraries that want a path."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from datascaler.errors import ConfigError, NotFoundError
from datascaler.storage.filesystem import filesystem, full_url, translated_errors
from datascaler.storage.urls import is_local


@dataclass(frozen=True, slots=True)
class FileInfo:
    """One file as a listing saw it."""

    url: str
    size: int
    """Bytes."""
    etag: str
    """Changes when the content does: the store's ETag, or the modification time of a local file."""


def exists(url: str) -> bool:
    fs, path = filesystem(url)
    with translated_errors(url):
        return bool(fs.exists(path))


def stat(url: str) -> FileInfo:
    fs, path = filesystem(url)
    with translated_errors(url):
        return _info(url, fs.info(path))


def require_bucket(url: str) -> None:
    """Raise ConfigError if the URL's bucket does not exist; a listing only says that there is nothing."""
    with suppress(NotFoundError):
        stat(url)


def list_files(folder: str, suffix: str = "", *, recursive: bool = False) -> list[FileInfo]:
    """Files below a folder whose name ends in `suffix`, by URL. A folder that does not exist holds no files."""
    fs, path = filesystem(folder)
    with translated_errors(folder):
        try:
            found = fs.find(path, maxdepth=None if recursive else 1, detail=True)
        except FileNotFoundError:
            return []
    infos = (_info(full_url(name, folder, path), info) for name, info in found.items() if _is_file(name, info, suffix))
    return sorted(infos, key=lambda info: info.url)


def list_folders(folder: str) -> list[str]:
    fs, path = filesystem(folder)
    with translated_errors(folder):
        try:
            entries = fs.ls(path, detail=True)
        except FileNotFoundError:
            return []
    return sorted(
        full_url(entry["name"].rstrip("/"), folder, path) for entry in entries if entry["type"] == "directory"
    )


def open_read(url: str, block_bytes: int = 8 << 20) -> IO[bytes]:
    """A seekable binary file that reads ahead in blocks."""
    fs, path = filesystem(url)
    with translated_errors(url):
        if is_local(url):
            return fs.open(path, "rb")  # type: ignore[no-any-return]
        return fs.open(path, "rb", block_size=block_bytes)  # type: ignore[no-any-return]


def read_bytes(url: str, start: int | None = None, end: int | None = None) -> bytes:
    """The file's bytes [start, end), or all of them."""
    fs, path = filesystem(url)
    with translated_errors(url):
        return bytes(fs.cat_file(path, start=start, end=end))


def read_text(url: str) -> str:
    return read_bytes(url).decode("utf-8")


def read_json(url: str) -> Any:
    try:
        return json.loads(read_bytes(url))
    except ValueError as error:
        raise ConfigError(f"{url}: not valid JSON ({error})") from error


@contextmanager
def local_copy(url: str) -> Iterator[Path]:
    """A local path with the file's content: the file itself, or a temporary download that goes with the context."""
    fs, path = filesystem(url)
    if is_local(url):
        with translated_errors(url):
            fs.info(path)
        yield Path(path)
        return
    with tempfile.TemporaryDirectory(prefix="datascaler-") as folder:
        target = Path(folder) / Path(path).name
        with translated_errors(url):
            fs.get_file(path, str(target))
        yield target


def _info(url: str, info: dict[str, Any]) -> FileInfo:
    etag = next((info[key] for key in ("ETag", "etag", "md5", "mtime", "created") if info.get(key)), "")
    return FileInfo(url=url, size=int(info.get("size") or 0), etag=str(etag).strip('"'))


def _is_file(name: str, info: dict[str, Any], suffix: str) -> bool:
    """S3 servers may list a folder that was emptied as an entry of its own."""
    return info.get("type") != "directory" and name.endswith(suffix)
