"""One shard of a materialized subset: its samples with all their members, under keys made of uid and copy."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datascaler import storage
from datascaler.data.materialize.output_shards import OutputShard, kept_before
from datascaler.data.materialize.planned_members import planned_members
from datascaler.data.plan.plan import Plan
from datascaler.data.pool.samples import OF_KEY_AND_SHARD, Group, sample_of
from datascaler.data.pool.shards import Shard
from datascaler.data.pool.uids import find_sorted, uid_array, uid_digests
from datascaler.data.pool.write_tar import TarWriter
from datascaler.data.subset.multiset import distinct_counts
from datascaler.errors import NotAsPlannedError, NotFoundError, TarDamageError
from datascaler.safe_text import shown

SHARD_FORMAT = "{:08d}.tar"
STATS_FORMAT = "{:08d}_stats.json"
_LONGEST_NAME_BYTES = 100
"""The longest name of a member in a plain tar."""

Members = dict[str, bytes]
"""Suffix -> content, in the order of the tar."""


@dataclass(frozen=True, slots=True)
class PlannedPool:
    """What the shards are cut from; safe to share between threads."""

    plan: Plan
    shards: Sequence[Shard]
    """The pool's shards, in the plan's order."""
    kept_before: NDArray[np.int64]
    high: NDArray[np.uint64]
    low: NDArray[np.uint64]
    """The subset's distinct uids, ascending."""
    times: NDArray[np.int64]
    """How often the subset wants each."""

    @classmethod
    def of(cls, plan: Plan, shards: Sequence[Shard], uids: NDArray[np.void]) -> "PlannedPool":
        distinct, times = distinct_counts(uids)
        return cls(plan, shards, kept_before(plan), np.ascontiguousarray(distinct["f0"]), distinct["f1"].copy(), times)


def write_output_shard(wanted: OutputShard, pool: PlannedPool, output_dir: str) -> None:
    """Tar, then stats. Raises NotAsPlannedError, and writes nothing, where a sample is not what was planned."""
    successes = 0
    with storage.publish(storage.join(output_dir, SHARD_FORMAT.format(wanted.number))) as file, TarWriter(file) as tar:
        for number, rows, copies in _parts(pool, wanted):
            for row, uid, members in _checked(pool, number, rows, copies):
                for copy in copies[np.searchsorted(rows, row) : np.searchsorted(rows, row, side="right")].tolist():
                    for suffix, content in members.items():
                        tar.add(f"{uid}-{copy}.{suffix}", content)
                    successes += 1
    stats: dict[str, Any] = {"successes": successes, "inputs": wanted.inputs}
    storage.publish_json(storage.join(output_dir, STATS_FORMAT.format(wanted.number)), stats)


def _parts(pool: PlannedPool, wanted: OutputShard) -> Iterator[tuple[int, NDArray[np.int64], NDArray[np.int64]]]:
    """The input shards that the samples come from: their numbers, rows (repeated) and which copy each is."""
    before = pool.kept_before
    number = int(np.searchsorted(before, wanted.first, side="right")) - 1
    while number < len(pool.shards) and before[number] < wanted.last:
        every = pool.plan.kept_rows(number, 0, int(pool.plan.arrays["shard_rows"][number]))
        copies = np.arange(len(every)) - np.searchsorted(every, every)
        part = slice(max(0, wanted.first - int(before[number])), wanted.last - int(before[number]))
        if len(every[part]):
            yield number, every[part], copies[part]
        number += 1


def _checked(
    pool: PlannedPool, number: int, rows: NDArray[np.int64], copies: NDArray[np.int64]
) -> Iterator[tuple[int, str, Members]]:
    """(row, uid, members) of all distinct rows of one input shard; `copies` says which copy each of the rows is."""
    shard = pool.shards[number]
    distinct = np.unique(rows)
    uids: dict[int, str] = {}
    try:
        for row, group in planned_members(pool.plan, number, shard, distinct):
            uids[row], members = _known(shard, row, group)
            yield row, uids[row], members
    except (TarDamageError, NotFoundError) as error:
        raise NotAsPlannedError(f"{shard.url}: {error}") from error
    missing = next((row for row in distinct.tolist() if row not in uids), None)
    if missing is not None:
        raise NotAsPlannedError(f"{shard.url} has no row {missing} as it was planned")
    wrong = _wrong_row(pool, number, uids, copies[np.searchsorted(rows, distinct, side="right") - 1])
    if wrong:
        raise NotAsPlannedError(f"{shard.url}: {wrong}")


def _wrong_row(pool: PlannedPool, number: int, uids: dict[int, str], last_copies: NDArray[np.int64]) -> str:
    """What is wrong with the first row that is another sample than the one that was planned; nothing where none is.

    `uids` are by row, ascending; `last_copies` [k] numbers the last copy of each.
    """
    pairs = uid_array(uids.values())
    at = find_sorted(pairs, pool.high, pool.low)
    strange, too_often = at < 0, last_copies >= pool.times[at]
    planned = pool.plan.row_uids(number, np.fromiter(uids, np.int64))
    moved = np.zeros(len(at), bool) if planned is None else planned != uid_digests(pairs["f0"], pairs["f1"])
    faults = (
        (strange, "which the subset has not"),
        (
            moved,
            "which the parquet beside the shard lists in another row (`datascaler pool index` finds the right ones)",
        ),
        (too_often, "which the subset wants less often than the plan"),
    )
    for wrong, how in faults:
        if wrong.any():
            row, uid = list(uids.items())[int(np.argmax(wrong))]
            return f"row {row} has uid {uid}, {how}"
    return ""


def _known(shard: Shard, row: int, group: Group) -> tuple[str, Members]:
    """The uid of a sample, and its members. A uid that is made of its place is written into its json, for there it gets
    another place.
    """
    sample = sample_of(row, group, shard.name)
    if not any(sample.uid):
        raise NotAsPlannedError(
            f"{shard.url}: row {row} has no uid of 32 hex digits ({sample.status}: {sample.detail})"
        )
    members = {suffix: member.data for suffix, member in group.members.items()}
    if sample.uid_rule == OF_KEY_AND_SHARD:
        record = json.loads(members.get("json", b"{}"))
        known = record if isinstance(record, dict) else {"json": record}
        members["json"] = json.dumps({**known, "uid": sample.uid_hex}).encode()
    too_long = next((suffix for suffix in members if len(suffix.encode()) > _LONGEST_NAME_BYTES // 2), None)
    if too_long:
        raise NotAsPlannedError(f"{shard.url}: row {row} has a member with too long a suffix: {shown(too_long)}")
    return sample.uid_hex, members
