"""The planned samples of a shard with all their members, read without what lies far from them."""

import io
from collections.abc import Iterator
from typing import IO

import numpy as np
from numpy.typing import NDArray

from datascaler import storage
from datascaler.data.plan.plan import RANGES_BELOW, Plan
from datascaler.data.pool.samples import Group, group_members
from datascaler.data.pool.shards import Shard
from datascaler.data.pool.tar import walk_tar

_READ_ALONG_BYTES = 256 << 10
"""A gap up to this is cheaper to read than to ask around."""


def planned_members(plan: Plan, number: int, shard: Shard, rows: NDArray[np.int64]) -> Iterator[tuple[int, Group]]:
    """(row, group of members) of these ascending, distinct, kept rows of the plan's number-th shard, as far as they are
    there.

    Where few are wanted and the plan says where they lie, byte ranges are read, else the shard from the first block to
    the last.
    Raises TarDamageError where the shard can't be followed further, NotFoundError where it is gone.
    """
    blocks = plan.arrays["shard_blocks"][number : number + 2].astype(np.int64)
    block_rows = plan.arrays["block_row"][blocks[0] : blocks[1]]
    of_row = blocks[0] + np.searchsorted(block_rows, rows, side="right") - 1
    wanted = set(rows.tolist())
    is_dense = len(rows) >= RANGES_BELOW * int(plan.arrays["shard_rows"][number])
    if is_dense or plan.ranges(int(of_row[0])) is None:
        block = plan.block(int(of_row[0]))
        with storage.translated_errors(shard.url), storage.open_read(shard.url) as file:
            file.seek(block.start)
            for row, group in _samples(file, block.start, block.first_row, int(rows[-1])):
                if row in wanted:
                    yield row, group
        return
    ranges = np.concatenate([_ranges(plan, number, rows[of_row == number]) for number in np.unique(of_row).tolist()])
    for first, last in _runs(ranges):
        start, end = int(ranges[first, 0]), int(ranges[last - 1, 1])
        content = io.BytesIO(storage.read_bytes(shard.url, start, end))
        for row, group in _samples(content, start, int(rows[first]), int(rows[last - 1])):
            if row in wanted:
                yield row, group


def _samples(file: IO[bytes], base: int, first_row: int, last_row: int) -> Iterator[tuple[int, Group]]:
    """The rows up to `last_row` of a file that begins with `first_row`."""
    for row, group in enumerate(group_members(walk_tar(file, base)), first_row):
        if group.members:
            yield row, group
        # What was planned is whole, so a fault behind the last row does not matter.
        if group.damage is not None and row < last_row:
            raise group.damage
        if row >= last_row:
            return


def _ranges(plan: Plan, block: int, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Bytes [start, end) of kept rows of one block, [k, 2]."""
    span = plan.block(block)
    ranges = plan.ranges(block)
    assert ranges is not None, "a plan has ranges for all blocks of a shard or for none"
    kept = np.unique(plan.kept_rows(span.shard, span.first_row, span.end_row - span.first_row))
    return ranges[np.searchsorted(kept, rows)]


def _runs(ranges: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """First and last of the ranges that are read together."""
    cuts = (np.flatnonzero(ranges[1:, 0] - ranges[:-1, 1] > _READ_ALONG_BYTES) + 1).tolist()
    yield from zip([0, *cuts], [*cuts, len(ranges)], strict=True)
