"""Files of a web server: what its answers say of them.

fsspec takes every failure for "not found", a server that is busy included, and lists files without their sizes.
"""

from email.utils import parsedate_to_datetime
from typing import Any

import fsspec.asyn

from datascaler.errors import StorageError
from datascaler.storage.filesystem import filesystem

_NOT_FOUND = (404, 410)


def is_http(url: str) -> bool:
    return url.startswith(("http://", "https://"))


def http_info(url: str) -> dict[str, Any]:
    """Size, ETag and time of a file, under the names that listings of object stores have. Raises as aiohttp does.

    StorageError where the server does not say how long the file is.
    """
    fs, path = filesystem(url)
    status, headers = fsspec.asyn.sync(fs.loop, _asked, fs, path)
    _, _, total = headers.get("Content-Range", "").rpartition("/")
    size = total if status in (206, 416) else headers.get("Content-Length", "")
    if not size.isdigit() or headers.get("Content-Encoding", "identity") != "identity":
        raise StorageError(f"{url}: the server does not say how long the file is; copy it to a store that does")
    modified = headers.get("Last-Modified", "")
    return {
        "size": int(size),
        "ETag": headers.get("ETag", "").replace('"', "") or modified,
        "LastModified": _moment(modified),
    }


def pinned(etag: str) -> dict[str, str]:
    """Headers that have a request refused where the file is not as `http_info` saw it, if the server heeds them."""
    if etag.endswith(" GMT"):
        return {"If-Unmodified-Since": etag}
    # A weak one never matches.
    return {} if not etag or etag.startswith("W/") else {"If-Match": f'"{etag}"'}


async def _asked(fs: Any, path: str) -> tuple[int, dict[str, str]]:
    """Status and headers of an answer about the file as a whole."""
    session = await fs.set_session()
    address = fs.encode_url(path)
    headers = {"Accept-Encoding": "identity"}
    async with session.head(address, headers=headers, allow_redirects=True) as answer:
        if answer.status in _NOT_FOUND:
            raise FileNotFoundError(path)
        if answer.status < 300 and "Content-Length" in answer.headers:
            return answer.status, answer.headers
    # Some addresses are good for a GET only; and a server that sends as it reads may know the size of a part's whole.
    async with session.get(address, headers={**headers, "Range": "bytes=0-0"}) as answer:
        if answer.status in _NOT_FOUND:
            raise FileNotFoundError(path)
        if answer.status != 416:
            answer.raise_for_status()
        return answer.status, answer.headers


def _moment(text: str) -> Any:
    try:
        return parsedate_to_datetime(text)
    except ValueError:
        return 0.0
