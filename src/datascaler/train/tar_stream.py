"""Shards as streams: the usable samples of a tar, one after another, as webdataset reads it."""

import logging
import tarfile
from collections.abc import Iterator
from functools import cache
from typing import IO

from webdataset.tariterators import tar_file_iterator

from datascaler import storage
from datascaler.data.pool import Shard, require_unchanged
from datascaler.data.samples import OK, Group, Sample, sample_of, split_name
from datascaler.data.tar import Member

_log = logging.getLogger(__name__)


def stream_shard(shard: Shard) -> Iterator[Sample]:
    """The samples whose status is ok, in tar order; nothing is decoded. A damaged tar ends at the fault.

    Raises ConfigError for a shard that is not the one that was pinned.
    """
    require_unchanged(shard)
    with storage.translated_errors(shard.url), storage.open_read(shard.url) as file:
        for row, group in enumerate(_groups(_members(file, shard.url))):
            sample = sample_of(row, group)
            if sample.status == OK:
                yield sample
    require_unchanged(shard)


def _members(file: IO[bytes], url: str) -> Iterator[Member]:
    # webdataset has no s3://, so it is given the open file. What its expander adds is a mark between shards, and here
    # each is a stream of its own.
    try:
        for found in tar_file_iterator(file, skip_meta=None):
            yield Member(found["fname"], 0, 0, found["data"])
    except (tarfile.TarError, EOFError, ValueError) as error:
        _warn(url, str(error))


@cache
def _warn(url: str, reason: str) -> None:
    """Once, and not in every epoch."""
    _log.warning("%s is damaged (%s); the samples before that are used", url, reason)


def _groups(members: Iterator[Member]) -> Iterator[Group]:
    """As `samples.read_samples` has it; webdataset's own grouping gives up where a name comes twice."""
    group: Group | None = None
    for member in members:
        key, suffix = split_name(member.name)
        if group is not None and (key != group.key or suffix in group.members):
            yield group
            group = None
        group = group or Group(key)
        group.members[suffix] = member
    if group is not None:
        yield group
