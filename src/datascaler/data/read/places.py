"""Where the kept rows of a plan lie, found when a block is read for the first time and kept on the node for later.

A plan says it only where little is kept, for elsewhere it would be most of its size. With it a local row is read alone:
at a kept fraction of 0.4 that takes half the time. There is a file for each plan and pool in `$TMPDIR/datascaler-UID`,
which all processes of the node share: six bytes a kept row, and holes where that is not known yet. Nothing depends on
it: it may be deleted, where it can't be written blocks are read whole, and so is a block whose entries do not fit their
check.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datascaler.data.plan.plan import UNIT_BYTES, Block, Plan
from datascaler.data.plan.plan_file import plan_digest
from datascaler.data.pool.shards import Shard
from datascaler.tools.node_folder import node_folder

_PLACE_BYTES = 6
"""A start relative to the block and a length, in UNIT_BYTES, and their check; all zeros are not known yet."""
_LONGEST_UNITS = np.iinfo(np.uint16).max


class Places:
    """Starts and ends of kept rows by block, as far as they are known. For one thread."""

    def __init__(self, plan: Plan, name: str) -> None:
        """`name` is that of the file, and stands for just this plan and pool."""
        self._name = name
        self._firsts = np.concatenate([[0], np.cumsum(plan.arrays["block_kept"], dtype=np.int64)])
        self._file: int | None = None
        with suppress(OSError):
            self._file = os.open(node_folder() / name, os.O_RDWR | os.O_NOFOLLOW)

    @classmethod
    def of(cls, plan: Plan, plan_path: Path, shards: Sequence[Shard]) -> "Places":
        """The places of a plan that was opened from a file, and its shards."""
        return cls(plan, sha256(plan_digest(plan_path) + shards[0].url.encode()).hexdigest()[:32] + ".places")

    def get(self, number: int, block: Block, first: int, last: int) -> NDArray[np.int64] | None:
        """Bytes [start, end) of the shard for the distinct kept rows [first, last) of a block, [k, 2], if known."""
        size, content = (last - first) * _PLACE_BYTES, b""
        if self._file is not None:
            with suppress(OSError):
                content = os.pread(self._file, size, self._offset(number, first))
        if len(content) != size:
            return None
        entries = np.frombuffer(content, "<u2").reshape(-1, 3)
        if not np.array_equal(entries[:, 2], _checks(entries, first)):
            return None
        ranges = entries[:, :2].astype(np.int64) * UNIT_BYTES
        ranges[:, 0] += block.start
        ranges[:, 1] += ranges[:, 0]
        return ranges

    def put(self, number: int, block: Block, first: int, ranges: NDArray[np.int64]) -> None:
        """Have `get` give these for the rows from `first` on. Those with a sample of 32 MB are not kept."""
        places = np.stack([ranges[:, 0] - block.start, ranges[:, 1] - ranges[:, 0]], axis=1) // UNIT_BYTES
        if places.max() > _LONGEST_UNITS:
            return
        with suppress(OSError):
            if self._file is None:
                node_folder().mkdir(mode=0o700, exist_ok=True)
                self._file = os.open(node_folder() / self._name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            entries = np.column_stack([places, _checks(places, first)]).astype("<u2")
            os.pwrite(self._file, entries.tobytes(), self._offset(number, first))

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _offset(self, number: int, row: int) -> int:
        return (int(self._firsts[number]) + row) * _PLACE_BYTES


def _checks(places: NDArray[Any], first: int) -> NDArray[np.uint16]:
    """[k] for the rows from `first` on. A bit that flips in a start or a length changes it, since the factors are odd,
    and so does a start that belongs to another row. An entry of zeros never fits.
    """
    starts, lengths = places[:, 0].astype(np.uint32), places[:, 1].astype(np.uint32)
    rows = np.arange(first, first + len(places), dtype=np.uint32)
    mixed = (starts * np.uint32(40503)) ^ (lengths * np.uint32(30011)) ^ (rows * np.uint32(52711))
    checks = mixed.astype(np.uint16)
    return np.where((starts | lengths) == 0, np.uint16(1), checks)
