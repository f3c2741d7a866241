"""What a file is, however it was found: its size, and an etag that says whether the content is another one.

Object stores and web servers give an etag. Of a local file there is only a time, which a copy does not keep, so its
etag is a digest of some of the content: 0.2 ms a file, where all of it would take as long as reading the pool.
"""

import hashlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from datascaler.storage.info import FileInfo, stat
from datascaler.storage.read import read_ranges
from datascaler.storage.urls import is_local

_EDGE_BYTES = 32 << 10
"""Read at the start and at the end."""
_SPOTS = 6
"""Evenly spread samples of a file that make its etag: a file that was written anew differs at nearly every one."""
_SPOT_BYTES = 8 << 10
_THREADS = 8


def identify(url: str) -> FileInfo:
    """The file as it is now; the etag of a local one is a digest of samples of its content."""
    return _identified(stat(url))


def identify_all(infos: Iterable[FileInfo]) -> list[FileInfo]:
    """The same of files that were listed, in their order."""
    listed = list(infos)
    if not any(is_local(info.url) for info in listed):
        return listed
    with ThreadPoolExecutor(_THREADS) as executor:
        return list(executor.map(_identified, listed))


def _identified(info: FileInfo) -> FileInfo:
    if not is_local(info.url):
        return info
    digest = hashlib.sha256()
    for content in read_ranges(info.url, _spots(info.size)):
        digest.update(content)
    return replace(info, etag=f"sample-{digest.hexdigest()[:32]}")


def _spots(size: int) -> list[tuple[int, int]]:
    """The parts that are looked at; a small file is looked at as a whole."""
    between = size - 2 * _EDGE_BYTES
    if between <= _SPOTS * _SPOT_BYTES:
        return [(0, size)]
    starts = [_EDGE_BYTES + (between - _SPOT_BYTES) * spot // (_SPOTS - 1) for spot in range(_SPOTS)]
    return [
        (0, _EDGE_BYTES),
        *((start, start + _SPOT_BYTES) for start in starts),
        (size - _EDGE_BYTES, size),
    ]
