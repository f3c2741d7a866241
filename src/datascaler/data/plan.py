"""The plan: which rows of which shard to train on, as bitmaps, and which byte ranges (blocks) hold them.

It is the subset compiled for one pool: 0.2 byte per pool sample where a list of uids takes 16 and a Python set 100.
On disk it is a safetensors file: a JSON header and raw arrays, so it opens by mapping it into memory, and all loader
workers of a node share the pages.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from datascaler import storage
from datascaler.data.pool import Shard
from datascaler.errors import ConfigError

PLAN_VERSION = 1
BLOCK_BYTES = 8 << 20
"""Upper size of a block: one request to an object store, and a piece that several streams can share."""

_ARRAYS = {
    "shard_rows": np.uint32,
    "shard_bits": np.uint64,
    "shard_end": np.uint64,
    "shard_blocks": np.uint64,
    "bits": np.uint8,
    "repeat_shard": np.uint32,
    "repeat_row": np.uint32,
    "repeat_count": np.uint32,
    "block_start": np.uint64,
    "block_row": np.uint32,
    "block_kept": np.uint32,
    "shard_list": np.uint8,
}
_BLOCK_ARRAYS = ("block_start", "block_row", "block_kept")


@dataclass(frozen=True)
class Plan:
    """Arrays over s shards and b blocks; blocks and bits of a shard lie together, in shard order."""

    pool_digest: str
    subset_digest: str
    """Empty when the whole pool is kept."""
    wanted: int
    """Uids in the subset, or samples in the pool; with repeats."""
    arrays: dict[str, NDArray[Any]]

    @cached_property
    def shards(self) -> list[Shard]:
        """The pinned shards, without URLs: a plan belongs to a pool wherever it is stored."""
        rows = json.loads(self.arrays["shard_list"].tobytes())
        return [Shard(url="", name=name, size=size, etag=etag) for name, size, etag in rows]

    @property
    def samples(self) -> int:
        """Kept samples, repeats counted: the size of an epoch."""
        return int(self.arrays["block_kept"].sum(dtype=np.int64))

    @property
    def rows(self) -> int:
        return int(self.arrays["shard_rows"].sum(dtype=np.int64))

    def kept_rows(self, shard: int, first: int, count: int) -> NDArray[np.int64]:
        """Kept rows among `count` rows of a shard from `first` on, ascending; a repeated row appears that often."""
        start = int(self.arrays["shard_bits"][shard])
        piece = self.arrays["bits"][start + first // 8 : start + (first + count + 7) // 8]
        bits = np.unpackbits(piece, bitorder="little")[first % 8 : first % 8 + count]
        rows = np.flatnonzero(bits) + first
        return np.repeat(rows, self._counts(shard, rows)) if len(self.arrays["repeat_shard"]) else rows

    def block(self, number: int) -> "Block":
        # Of the array's own type: a Python int would have the whole array converted at every call.
        shard = int(np.searchsorted(self.arrays["shard_blocks"], np.uint64(number), side="right")) - 1
        starts, rows = self.arrays["block_start"], self.arrays["block_row"]
        last = number + 1 == int(self.arrays["shard_blocks"][shard + 1])
        end_row = int(self.arrays["shard_rows"][shard]) if last else int(rows[number + 1])
        end = int(self.arrays["shard_end"][shard]) if last else int(starts[number + 1])
        return Block(shard=shard, start=int(starts[number]), end=end, first_row=int(rows[number]), end_row=end_row)

    def _counts(self, shard: int, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """How often each of these kept rows is wanted."""
        first, last = np.searchsorted(self.arrays["repeat_shard"], np.array([shard, shard + 1], np.uint32))
        repeated = self.arrays["repeat_row"][first:last]
        among = np.isin(repeated, rows)
        counts = np.ones(len(rows), dtype=np.int64)
        counts[np.searchsorted(rows, repeated[among])] = self.arrays["repeat_count"][first:last][among]
        return counts


@dataclass(frozen=True, slots=True)
class Block:
    """Rows [first_row, end_row) of a shard, in its bytes [start, end)."""

    shard: int
    start: int
    end: int
    first_row: int
    end_row: int


def write_plan(url: str, plan: Plan) -> None:
    header = {
        "plan_version": str(PLAN_VERSION),
        "pool_digest": plan.pool_digest,
        "subset_digest": plan.subset_digest,
        "wanted": str(plan.wanted),
    }
    storage.publish_bytes(url, save(plan.arrays, metadata=header))


def open_plan(path: Path) -> Plan:
    """Map a plan file that lies on a local disk."""
    try:
        with path.open("rb") as file:
            header_bytes = int.from_bytes(file.read(8), "little")
            if header_bytes > 1 << 20:
                raise ValueError("header too long")
            header = json.loads(file.read(header_bytes))
        meta = header.pop("__metadata__")
        if meta["plan_version"] != str(PLAN_VERSION):
            raise ValueError(f"version {meta['plan_version']}, this code reads {PLAN_VERSION}")
        content = np.memmap(path, mode="r", dtype=np.uint8, offset=8 + header_bytes)
        spans = {name: header[name]["data_offsets"] for name in _ARRAYS}
        if max(end for _, end in spans.values()) != len(content):
            raise ValueError("cut short, or longer than its header says")
        arrays = {name: content[start:end].view(_ARRAYS[name]) for name, (start, end) in spans.items()}
        _check_lengths(arrays)
        return Plan(meta["pool_digest"], meta["subset_digest"], int(meta["wanted"]), arrays)
    except (AttributeError, KeyError, TypeError, ValueError, OSError) as error:
        raise ConfigError(f"{path} is not a plan of this version ({error}); build it anew") from error


def _check_lengths(arrays: dict[str, NDArray[Any]]) -> None:
    """Whether the arrays speak of the same shards, rows and blocks."""
    shards = len(arrays["shard_rows"])
    expected = {
        "shard_end": shards,
        "shard_bits": shards + 1,
        "shard_blocks": shards + 1,
        "repeat_row": len(arrays["repeat_shard"]),
        "repeat_count": len(arrays["repeat_shard"]),
    }
    for name, length in expected.items():
        if len(arrays[name]) != length:
            raise ValueError(f"{name} has {len(arrays[name])} entries, not {length}")
    for name, total in (("bits", "shard_bits"), *((name, "shard_blocks") for name in _BLOCK_ARRAYS)):
        if len(arrays[name]) != arrays[total][-1]:
            raise ValueError(f"{name} has {len(arrays[name])} entries, not {arrays[total][-1]}")


def match_shards(plan: Plan, shards: Sequence[Shard]) -> list[Shard]:
    """The pool's shards in the plan's order. A shard that is missing or has changed fails now, not at step 40,000."""
    by_name = {shard.name: shard for shard in shards}
    matched = []
    for pinned in plan.shards:
        shard = by_name.get(pinned.name)
        if shard is None:
            raise ConfigError(f"the plan needs shard {pinned.name}, which this pool does not have")
        if (shard.size, shard.etag) != (pinned.size, pinned.etag):
            raise ConfigError(
                f"shard {shard.url} is not the one that the plan was made from (size {shard.size}, etag "
                f"{shard.etag!r}; planned: {pinned.size}, {pinned.etag!r}); make the plan anew"
            )
        matched.append(shard)
    return matched
