"""Where copies of repeated samples are drawn: apart from one another, at independent places of the epoch.

A window is shuffled, so what lies in one window meets in a batch, and a pair that is drawn twice in a batch is a false
negative of a contrastive loss. So a block is read in parts: first all its kept samples once, then those that are wanted
twice or more, then those wanted three times or more. The order permutes parts, as it permutes blocks.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MOST_PARTS = 1 << 25
"""The most parts that a plan's copies are drawn in: each takes a process 36 bytes. Where there would be more, two
successive copies share a part, or four, ..."""


class CopyParts(NamedTuple):
    """Draws [first, first + size) of blocks, all [p]; the draws of a block are its samples once, then the copies."""

    block: NDArray[np.uint32]
    first: NDArray[np.uint32]
    size: NDArray[np.uint32]


def copy_parts(
    block_kept: NDArray[np.uint32], blocks: NDArray[np.int64], counts: NDArray[np.uint32], most_parts: int = MOST_PARTS
) -> CopyParts:
    """The parts of second and later copies. `blocks` [r], ascending, has the block of each sample that is kept several
    times, `counts` [r] how often; `block_kept` [b] counts copies.
    """
    again = counts.astype(np.int64) - 1
    starts = np.flatnonzero(np.diff(blocks, prepend=-1))
    most = np.maximum.reduceat(again, starts) if len(starts) else np.empty(0, np.int64)
    shared = 1
    while int((-(-most // shared)).sum()) > max(most_parts, len(most)):
        shared *= 2
    parts = -(-most // shared)
    begins = np.concatenate([[0], np.cumsum(parts)])
    total = int(begins[-1])
    begin = np.repeat(begins[:-1], np.diff(starts, append=len(blocks)))
    whole, rest = np.divmod(again, shared)
    # A sample is in the first `whole` parts of copies of its block `shared` times, and with the rest in the next one.
    rises = np.bincount(begin, minlength=total + 1) - np.bincount(begin + whole, minlength=total + 1)
    last = np.bincount(begin + whole, weights=rest, minlength=total + 1).astype(np.int64)
    size = (shared * np.cumsum(rises) + last)[:total]
    block = np.repeat(blocks[starts], parts)
    before = np.cumsum(size) - size
    copies = np.add.reduceat(size, begins[:-1]) if total else np.empty(0, np.int64)
    distinct = block_kept[blocks[starts]] - copies
    first = before + np.repeat(distinct - before[begins[:-1]], parts)
    return CopyParts(block.astype(np.uint32), first.astype(np.uint32), size.astype(np.uint32))


def by_copy(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Ascending rows of a block, a repeated row as often -> in the order of its parts: each once, then the copies."""
    starts = np.flatnonzero(np.diff(rows, prepend=-1))
    if len(starts) == len(rows):
        return rows
    copy = np.arange(len(rows)) - np.repeat(starts, np.diff(starts, append=len(rows)))
    return rows[np.argsort(copy, kind="stable")]
