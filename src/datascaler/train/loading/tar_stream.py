"""Shards as streams: the usable samples of a tar, one after another, as webdataset reads it.

webdataset reads by Python's tarfile, which ends some damaged tars in silence, others elsewhere than scoring does, and
loses its way behind a folder with a size. So it is given the files before the first fault and nothing else, closed as a
tar is: the samples are those that scoring calls ok. Their headers are our own, so that none of the shard's makes it
decompress something or write out the holes of a sparse file.
"""

import logging
import tarfile
from collections.abc import Iterator
from functools import cache
from typing import IO

from webdataset.tariterators import tar_file_iterator

from datascaler.data.pool.samples import DAMAGED_TAR, OK, Sample
from datascaler.data.pool.shards import Shard
from datascaler.data.pool.tar import BLOCK_BYTES, Member, scan_pieces, text_of
from datascaler.data.read.stream_shard import stream_shard
from datascaler.errors import TarDamageError
from datascaler.safe_text import safe_message

_END_MARK = bytes(2 * BLOCK_BYTES)

_log = logging.getLogger(__name__)


def usable_samples(shard: Shard) -> Iterator[Sample]:
    """The samples whose status is ok, in tar order; nothing is decoded.

    Raises ConfigError for a shard that is not the one that was pinned.
    """
    for sample in stream_shard(shard, members_of=_members):
        if sample.status == OK:
            yield sample
        elif sample.status == DAMAGED_TAR:
            _warn(shard.url, sample.detail)


def _members(file: IO[bytes]) -> Iterator[Member]:
    """Raises TarDamageError after the members before a fault."""
    sound = _SoundPart(file)
    # webdataset has no s3://, so it is given the open file. What its expander adds is a mark between shards, and here
    # each is a stream of its own.
    for found in tar_file_iterator(sound, skip_meta=None):
        yield Member(found["fname"], 0, 0, found["data"])
    if sound.fault:
        raise sound.fault


class _SoundPart:
    """The files of a tar up to its first fault, as a tar; as much of a binary file as tarfile needs."""

    def __init__(self, file: IO[bytes]) -> None:
        self.fault: TarDamageError | None = None
        self._pieces = self._sound(file)
        self._piece = memoryview(b"")

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; nothing at the end."""
        if not self._piece:
            self._piece = memoryview(next(self._pieces, b""))
        part, self._piece = self._piece[:size], self._piece[size:]
        return bytes(part)

    def _sound(self, file: IO[bytes]) -> Iterator[bytes | memoryview]:
        try:
            # It looks at the first bytes for a compressed archive, and a file's name can begin as one does.
            yield _header("./", tarfile.DIRTYPE)
            for content, _, scan in scan_pieces(file):
                for entry in scan.entries:
                    yield _header(text_of(entry.name), size=entry.stop - entry.start)
                    if entry.end > entry.start:  # nothing would be the end
                        yield memoryview(content)[entry.start : entry.end]
        except TarDamageError as fault:
            self.fault = fault
        yield _END_MARK


def _header(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0) -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


@cache
def _warn(url: str, reason: str) -> None:
    """Once, and not in every epoch."""
    _log.warning("%s is damaged (%s); the samples before that are used", safe_message(url), safe_message(reason))
