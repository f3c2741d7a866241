"""What a file is, however it was found: its size, and an etag that says whether the content is another one.

Object stores and web servers give an etag. Of a local file there is only a time, which a copy does not keep, so its
etag is a digest of some of the content: 0.2 ms a file, where all of it would take as long as reading the pool. Whoever
reads a remote file anyway can have the same digest of it, by which a copy on a node is known again.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import IO

from datascaler.storage.info import FileInfo, stat
from datascaler.storage.known_digests import KnownDigests
from datascaler.storage.read import read_ranges
from datascaler.storage.urls import is_local
from datascaler.tools.ordered_map import read_in_order

_EDGE_BYTES = 32 << 10
"""Read at the start and at the end."""
_SPOTS = 6
"""Evenly spread samples of a file that make its etag: a file that was written anew differs at nearly every one."""
_SPOT_BYTES = 8 << 10
_READERS = 8
_SAMPLED = "sample-"


def identify(url: str) -> FileInfo:
    """The file as it is now; the etag of a local one is a digest of samples of its content."""
    info = stat(url)
    return replace(info, etag=content_digest(url, info.size)) if is_local(url) else info


def identify_all(infos: Iterable[FileInfo]) -> list[FileInfo]:
    """The same of files that were listed, in their order."""
    listed = list(infos)
    return [replace(info, etag=etag) for info, etag in zip(listed, content_etags(listed), strict=True)]


def content_etags(listed: Sequence[FileInfo]) -> list[str]:
    """The etags that they have as `identify_all` gives them."""
    local = [info for info in listed if is_local(info.url)]
    if not local:
        return [info.etag for info in listed]
    known = KnownDigests(local)
    digests = {info.url: known.of(info) for info in local}
    unknown = [info for info in local if digests[info.url] is None]
    if unknown:
        found = list(read_in_order(lambda info: content_digest(info.url, info.size), unknown, _READERS))
        known.keep(zip(unknown, found, strict=True))
        digests |= {info.url: digest for info, digest in zip(unknown, found, strict=True)}
    return [digests.get(info.url) or info.etag for info in listed]


def content_digest(url: str, size: int) -> str:
    """The digest of samples of a file of this size, as a local one has for an etag. Of a remote one: eight requests."""
    return _digest(read_ranges(url, _spots(size)))


def is_content_digest(etag: str) -> bool:
    """Whether an etag is such a digest, and not a store's."""
    return etag.startswith(_SAMPLED)


class SampledReads:
    """A file that is read from its start by `read` alone, and gives its `content_digest` at no further cost."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file = file
        self._spots = _spots(size)
        self._contents = [bytearray() for _ in self._spots]
        self._position = 0

    def read(self, size: int = -1) -> bytes:
        piece = self._file.read(size)
        end = self._position + len(piece)
        for (first, last), content in zip(self._spots, self._contents, strict=True):
            if first < end and self._position < last:
                content += piece[max(first - self._position, 0) : last - self._position]
        self._position = end
        return piece

    def digest(self, url: str) -> str:
        """The digest; what was not read, as behind the end mark of a tar, is fetched from the URL."""
        rest = [(first + len(had), last) for (first, last), had in zip(self._spots, self._contents, strict=True)]
        fetched = read_ranges(url, rest)
        return _digest(bytes(had) + more for had, more in zip(self._contents, fetched, strict=True))


def _digest(contents: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for content in contents:
        digest.update(content)
    return f"{_SAMPLED}{digest.hexdigest()[:32]}"


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
