"""What is there: existence, size and etag of files, and listings of folders."""

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from datascaler.errors import NotFoundError
from datascaler.storage.filesystem import filesystem, full_url
from datascaler.storage.retry import retried


@dataclass(frozen=True, slots=True)
class FileInfo:
    """One file as a listing saw it."""

    url: str
    size: int
    """Bytes."""
    etag: str
    """Changes when the content does: the store's ETag, or the modification time of a local file."""
    modified: float = field(default=0.0, compare=False)
    """Seconds since 1970 by the store's clock; 0 where it does not say."""


def exists(url: str) -> bool:
    fs, path = filesystem(url)
    return bool(retried(url, lambda: fs.exists(path)))


def stat(url: str) -> FileInfo:
    fs, path = filesystem(url)
    return _info(url, retried(url, lambda: fs.info(path)))


def require_bucket(url: str) -> None:
    """Raise ConfigError if the URL's bucket does not exist; a listing only says that there is nothing."""
    with suppress(NotFoundError):
        stat(url)


def list_files(folder: str, suffix: str = "", *, recursive: bool = False) -> list[FileInfo]:
    """Files below a folder whose name ends in `suffix`, by URL. A folder that does not exist holds no files."""
    fs, path = filesystem(folder)

    def act() -> dict[str, dict[str, Any]]:
        if recursive:
            with suppress(FileNotFoundError):
                return fs.find(path, detail=True)  # type: ignore[no-any-return]
            return {}
        # Not `find` with a depth: where a request fails, that leaves out what it did not see.
        return {entry["name"]: entry for entry in _listed(fs, path)}

    found = retried(folder, act)
    infos = (_info(full_url(name, folder, path), info) for name, info in found.items() if _is_file(name, info, suffix))
    return sorted(infos, key=lambda info: info.url)


def list_folders(folder: str) -> list[str]:
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


def _info(url: str, info: dict[str, Any]) -> FileInfo:
    etag = next((info[key] for key in ("ETag", "etag", "md5", "mtime", "created") if info.get(key)), "")
    modified = next((info[key] for key in ("LastModified", "mtime", "last_modified", "created") if info.get(key)), 0.0)
    seconds = modified.timestamp() if isinstance(modified, datetime) else modified
    return FileInfo(
        url=url,
        size=int(info.get("size") or 0),
        etag=str(etag).strip('"'),
        modified=float(seconds) if isinstance(seconds, int | float) else 0.0,
    )


def _is_file(name: str, info: dict[str, Any], suffix: str) -> bool:
    """S3 servers may list a folder that was emptied as an entry of its own."""
    return info.get("type") != "directory" and not name.endswith("/") and name.endswith(suffix)
