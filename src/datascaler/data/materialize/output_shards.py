"""Which planned samples go into which shard of a materialized subset: a pure function of the plan and the limits."""

import json
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from datascaler.data.plan.plan import Plan


@dataclass(frozen=True, slots=True)
class OutputShard:
    number: int
    first: int
    last: int
    """Its samples are the planned ones [first, last), in the plan's order, repeats side by side."""
    inputs: str
    """Digest of what it is made from."""


def output_shards(plan: Plan, samples_per_shard: int, bytes_per_shard: float) -> list[OutputShard]:
    """Full shards but for the last. Bytes are an estimate: the average of the shard that a sample comes from."""
    digest = _digest(plan)
    bounds = _bounds(plan, samples_per_shard, bytes_per_shard)
    return [
        OutputShard(number, first, last, sha256(json.dumps([digest, first, last]).encode()).hexdigest())
        for number, (first, last) in enumerate(pairwise(bounds))
    ]


def kept_before(plan: Plan) -> NDArray[np.int64]:
    """Planned samples, repeats counted, before each of s shards, and their total: [s + 1]."""
    before = np.concatenate([[0], np.cumsum(plan.arrays["block_kept"], dtype=np.int64)])
    return before[plan.arrays["shard_blocks"].astype(np.int64)]


def _bounds(plan: Plan, samples_per_shard: int, bytes_per_shard: float) -> list[int]:
    """Where output shards begin, and the end."""
    positions = kept_before(plan).astype(np.float64)
    average = plan.arrays["shard_end"] / np.maximum(plan.arrays["shard_rows"], 1)
    bytes_before = np.concatenate([[0.0], np.cumsum(np.diff(positions) * average)])
    bounds, total = [0], int(positions[-1])
    while bounds[-1] < total:
        first = bounds[-1]
        end_byte = np.interp(first, positions, bytes_before) + bytes_per_shard
        by_bytes = int(np.interp(end_byte, bytes_before, positions) + 1e-6)
        bounds.append(min(max(first + 1, min(first + samples_per_shard, by_bytes)), total))
    return bounds


def _digest(plan: Plan) -> str:
    """Names the shards and what the plan keeps of them: their rows, with their uids where only a log has told them."""
    content = sha256()
    for name in ("shard_list", "bits", "repeat_shard", "repeat_row", "repeat_count", "row_uid"):
        content.update(np.ascontiguousarray(plan.arrays[name]).data)
    return content.hexdigest()
