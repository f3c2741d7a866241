"""What the pre-flight check learns from one shard."""

import heapq
from collections import Counter
from dataclasses import dataclass, field
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from datascaler import storage
from datascaler.data.pool.check_layout import TarLayout
from datascaler.data.pool.images import decode_rgb
from datascaler.data.pool.samples import BAD_IMAGE, DAMAGED_TAR, OK, Sample, group_members, samples_of
from datascaler.data.pool.shards import Shard
from datascaler.data.pool.tar import BLOCK_BYTES
from datascaler.errors import ImageDecodeError, StorageError


@dataclass(slots=True)
class ShardCheck:
    shard: Shard
    unreadable: str = ""
    """The storage error, where the shard could not be opened or read to its end."""
    damage: str = ""
    """What is wrong with the archive itself."""
    damage_offset: int = 0
    samples: int = 0
    """Rows with a sample in them: the row that stands for a fault of the archive is not one."""
    decoded: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    sides: Counter[int] = field(default_factory=Counter)
    """Longer side of the decoded images, in pixels."""
    caption_lengths: Counter[int] = field(default_factory=Counter)
    """Characters."""
    uids: NDArray[np.uint64] = field(default_factory=lambda: np.empty((0, 2), np.uint64))
    """[n, 2]; the rows that have one."""
    made_uids: Counter[str] = field(default_factory=Counter)
    """Rows whose json has no uid, by the rule that theirs is made by."""
    bad_samples: list[str] = field(default_factory=list)
    """The first few, with what is wrong."""
    layout: TarLayout = field(default_factory=TarLayout)


_EXAMPLES = 3


def check_shard(shard: Shard, decode: int | None) -> ShardCheck:
    """Read the shard to its end and decode `decode` of its images, all where None.

    Which ones is decided by a hash of shard and key, so a second look decodes the same images whatever ran beside it.
    """
    check = ShardCheck(shard)
    uids: list[tuple[int, int]] = []
    chosen: list[tuple[int, int, Sample]] = []
    end = 0
    try:
        with storage.open_read(shard.url) as file:
            groups = check.layout.groups(group_members(check.layout.members(file)))
            for sample in samples_of(groups, shard=shard.name):
                end = sample.offset + sample.length
                if sample.status == DAMAGED_TAR:
                    check.damage, _, at = sample.detail.rpartition(" at byte ")
                    check.damage_offset = int(at)
                    check.statuses[DAMAGED_TAR] += 1
                    continue
                check.samples += 1
                check.caption_lengths[len(sample.caption)] += 1
                if sample.uid != (0, 0):
                    uids.append(sample.uid)
                if sample.uid_rule:
                    check.made_uids[sample.uid_rule] += 1
                if sample.status != OK:
                    _count(check, sample)
                elif decode is None:
                    _decode(check, sample)
                else:
                    # A heap of the smallest hashes so far; what is popped is the largest of them.
                    heapq.heappush(chosen, (-_hash(shard, sample), sample.row, sample))
                    if len(chosen) > decode:
                        _count(check, heapq.heappop(chosen)[2])
            if not check.damage:
                check.layout.look_behind(file, shard.size)
    except (StorageError, OSError) as error:
        check.unreadable = str(error)
    for _, _, sample in sorted(chosen, key=lambda entry: entry[1]):
        _decode(check, sample)
    if not check.damage and not check.unreadable and end + BLOCK_BYTES > shard.size:
        check.damage, check.damage_offset = "the end-of-archive mark is missing", end
    check.uids = np.array(uids, dtype=np.uint64).reshape(-1, 2)
    return check


def _hash(shard: Shard, sample: Sample) -> int:
    return int.from_bytes(blake2b(f"{shard.name}/{sample.key}".encode("utf-8", "replace"), digest_size=8).digest())


def _decode(check: ShardCheck, sample: Sample) -> None:
    check.decoded += 1
    try:
        image = decode_rgb(sample.image)
        check.sides[max(image.size)] += 1
    except ImageDecodeError as error:
        sample.status, sample.detail = BAD_IMAGE, str(error)
    _count(check, sample)


def _count(check: ShardCheck, sample: Sample) -> None:
    check.statuses[sample.status] += 1
    if sample.status != OK and len(check.bad_samples) < _EXAMPLES:
        check.bad_samples.append(f"{check.shard.name} {sample.key}: {sample.status} ({sample.detail})")
