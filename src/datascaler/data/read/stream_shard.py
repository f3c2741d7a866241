"""A remote shard read from its start to its end by several requests at a time: one alone gets a part of the line."""

from collections.abc import Callable, Iterable, Iterator
from typing import IO, cast

from datascaler import storage
from datascaler.data.pool.samples import Sample, group_members, samples_of
from datascaler.data.pool.shards import Shard, require_unchanged
from datascaler.data.pool.tar import Member, walk_tar
from datascaler.data.tables.index_tables import read_shard
from datascaler.tools.ordered_map import in_order

_BLOCK_BYTES = 8 << 20
_REQUESTS = 3
"""Up to three times as many blocks are in memory."""


def stream_shard(
    shard: Shard,
    block_bytes: int = _BLOCK_BYTES,
    members_of: Callable[[IO[bytes]], Iterable[Member]] = walk_tar,
    on_digest: Callable[[str], None] | None = None,
) -> Iterator[Sample]:
    """The samples of a shard, in tar order, as `read_shard` gives them. `members_of` takes members from its bytes.

    `on_digest` is given the digest of a remote shard at the end.

    Raises ConfigError where it is not the shard that was pinned, before the first sample or after the last.
    """
    if storage.is_local(shard.url):
        yield from read_shard(shard, members_of)
        return
    require_unchanged(shard)
    blocks = storage.SampledReads(cast("IO[bytes]", _Blocks(shard, block_bytes)), shard.size)
    yield from samples_of(group_members(members_of(cast("IO[bytes]", blocks))), shard=shard.name)
    if on_digest:
        on_digest(blocks.digest(shard.url))
    require_unchanged(shard)


class _Blocks:
    """The part of a binary file's interface that reading a tar from its start needs."""

    def __init__(self, shard: Shard, block_bytes: int) -> None:
        def fetch(start: int) -> bytes:
            return storage.read_bytes(shard.url, start, min(start + block_bytes, shard.size))

        self._blocks = in_order(fetch, range(0, shard.size, block_bytes), _REQUESTS)

    def read(self, _: int) -> bytes:
        """The next block, whatever its size; nothing at the end."""
        return next(self._blocks, b"")
