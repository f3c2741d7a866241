"""What is there: existence, size and etag of files, and listings of folders."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from os import stat_result
from typing import Any

from datascaler.errors import NotFoundError
from datascaler.storage.filesystem import filesystem, full_url
from datascaler.storage.http_files import http_info, is_http
from datascaler.storage.local_files import local_files, local_folders, stat_if_there, stat_local
from datascaler.storage.retry import retried
from datascaler.storage.urls import is_local, join, local_path
from datascaler.tools.worker_threads import worker_threads

_QUESTIONS_AT_ONCE = 16
"""Files that a web server is asked about at once: it has no listing that says sizes."""


@dataclass(frozen=True, slots=True)
class FileInfo:
    """One file as a listing saw it."""

    url: str
    size: int
    """Bytes."""
    etag: str
    """Changes when the content does: the store's ETag, or the time of a local file; empty where there is none."""
    modified: float = field(default=0.0, compare=False)
    """Seconds since 1970 by the store's clock; 0 where it does not say."""
    changed_ns: int = field(default=0, compare=False)
    """When the content or the name of a local file was last changed, which nobody can set back; 0 if unknown."""
    inode: int = field(default=0, compare=False)


def exists(url: str) -> bool:
    if is_local(url):
        return stat_if_there(local_path(url)) is not None
    # Not fsspec's own, for which whatever can't be looked at is not there.
    try:
        stat(url)
    except NotFoundError:
        return False
    return True


def stat(url: str) -> FileInfo:
    if is_local(url):
        return _local_info(url, stat_local(local_path(url)))
    if is_http(url):
        return _info(url, retried(url, lambda: http_info(url)))
    fs, path = filesystem(url)
    return _info(url, retried(url, lambda: fs.info(path)))


def stat_all(urls: Iterable[str]) -> list[FileInfo]:
    """Those of many files that are there, in their order; each is asked for by itself."""

    def found(url: str) -> list[FileInfo]:
        try:
            return [stat(url)]
        except NotFoundError:
            return []

    with worker_threads(_QUESTIONS_AT_ONCE) as executor:
        return [info for infos in executor.map(found, urls) for info in infos]


def require_bucket(url: str) -> None:
    """Raise ConfigError if the URL's bucket does not exist; a listing only says that there is nothing."""
    with suppress(NotFoundError):
        stat(url)


def list_files(folder: str, suffix: str | tuple[str, ...] = "", *, recursive: bool = False) -> list[FileInfo]:
    """Files below a folder whose name ends in `suffix`, or in one of several, by URL. A folder that does not exist
    holds no files.
    """
    if is_local(folder):
        there = local_files(local_path(folder), suffix, recursive=recursive)
        below = join(folder, "")
        return sorted((_local_info(below + name, found) for name, found in there), key=lambda info: info.url)
    fs, path = filesystem(folder)

    def act() -> dict[str, dict[str, Any]]:
        if recursive:
            with suppress(FileNotFoundError):
                # What can't be listed must not be left out in silence.
                strict = {"on_error": "raise"} if is_http(folder) else {}
                return fs.find(path, detail=True, **strict)  # type: ignore[no-any-return]
            return {}
        # Not `find` with a depth: where a request fails, that leaves out what it did not see.
        return {entry["name"]: entry for entry in _listed(fs, path)}

    found = retried(folder, act)
    if is_http(folder):
        # A page of links may hold more than files: other orders of itself are links with a question mark.
        urls = (full_url(name, folder, path) for name in sorted(found) if "?" not in name)
        return stat_all(url for url in urls if _is_file(url, {}, suffix))
    infos = (_info(full_url(name, folder, path), info) for name, info in found.items() if _is_file(name, info, suffix))
    return sorted(infos, key=lambda info: info.url)


def list_folders(folder: str) -> list[str]:
    if is_local(folder):
        return sorted(join(folder, name) for name in local_folders(local_path(folder)))
    fs, path = filesystem(folder)
    entries = retried(folder, lambda: _listed(fs, path))
    return sorted(
        full_url(entry["name"].rstrip("/"), folder, path) for entry in entries if entry["type"] == "directory"
    )


def _listed(fs: Any, path: str) -> list[dict[str, Any]]:
    try:
        return fs.ls(path, detail=True)  # type: ignore[no-any-return]
    except FileNotFoundError:
        return []


def _local_info(url: str, found: stat_result | None) -> FileInfo:
    if found is None:
        return FileInfo(url, 0, "")
    # Mounts without times say 1970 of every file.
    if not found.st_mtime:
        return FileInfo(url, found.st_size, "")
    return FileInfo(url, found.st_size, str(found.st_mtime), found.st_mtime, found.st_ctime_ns, found.st_ino)


def _info(url: str, info: dict[str, Any]) -> FileInfo:
    etag = next((info[key] for key in ("ETag", "etag", "md5", "blob_id", "mtime", "created") if info.get(key)), "")
    modified = next((info[key] for key in ("LastModified", "mtime", "last_modified", "created") if info.get(key)), 0.0)
    seconds = modified.timestamp() if isinstance(modified, datetime) else modified
    return FileInfo(
        url=url,
        size=int(info.get("size") or 0),
        etag=str(etag).strip('"'),
        modified=float(seconds) if isinstance(seconds, int | float) else 0.0,
    )


def _is_file(name: str, info: dict[str, Any], suffix: str | tuple[str, ...]) -> bool:
    """S3 servers may list a folder that was emptied as an entry of its own."""
    return info.get("type") != "directory" and not name.endswith("/") and name.endswith(suffix)
