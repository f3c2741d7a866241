"""The pre-flight check of a pool: what is there, what is damaged, what a run over it will have to count as bad."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datascaler import storage
from datascaler.data.pool.check_layout import COSTLY
from datascaler.data.pool.check_shard import ShardCheck, check_shard
from datascaler.data.pool.samples import OK
from datascaler.data.pool.shards import Shard, list_pool
from datascaler.data.pool.uids import join_uid
from datascaler.errors import ConfigError
from datascaler.progress import progress
from datascaler.tools.ordered_map import in_order

DEFAULT_DECODE = 16
_EXAMPLES = 10
_UID_BUCKETS = 16


@dataclass(frozen=True, slots=True)
class Damage:
    shard: str
    offset: int
    """Bytes from the start of the tar; the samples before it are fine."""
    reason: str


@dataclass(frozen=True, slots=True)
class Spread:
    """Five numbers for a distribution."""

    count: int
    smallest: int
    median: int
    mean: float
    largest: int


@dataclass(frozen=True, slots=True)
class PoolReport:
    data_dir: str
    shards_found: int
    passed_over: dict[str, str]
    """Files that look like shards and are none of the pool's, each with the reason."""
    shards_checked: int
    bytes: int
    """The size of all shards found."""
    samples: int
    statuses: dict[str, int]
    """Status -> rows, the row that stands for the damaged end of a tar included."""
    made_uids: dict[str, int]
    """Rows whose json has no uid, by the rule that theirs is made by."""
    layout: dict[str, int]
    """What in the tars' layout is unusual, and how often."""
    images_decoded: int
    image_side: Spread | None
    """Longer side in pixels, of the images decoded."""
    caption_length: Spread | None
    """Characters."""
    missing_shards: tuple[str, ...]
    """Gaps in the shard numbers, as ranges. Downloads that died leave them; they are no fault."""
    empty_shards: tuple[str, ...]
    unreadable_shards: dict[str, str]
    damaged_shards: tuple[Damage, ...]
    stats_mismatches: tuple[str, ...]
    """Shards whose _stats.json promises another number of samples."""
    duplicate_uids: int
    """Rows beyond the first of their uid."""
    duplicate_examples: tuple[str, ...]
    bad_examples: tuple[str, ...]
    layout_examples: tuple[str, ...]

    @property
    def faults(self) -> list[str]:
        """Why this pool will lose samples, one phrase a reason; empty where it won't."""
        bad = sum(rows for status, rows in self.statuses.items() if status != OK)
        unusable = [] if self.statuses.get(OK) else [f"usable samples: 0 of {self.samples:,}"]
        counts = {
            "unreadable shards": len(self.unreadable_shards),
            "damaged shards": len(self.damaged_shards),
            "shards that differ from their stats.json": len(self.stats_mismatches),
            "bad rows": bad,
            **{cause: self.layout.get(cause, 0) for cause in COSTLY},
        }
        return [*unusable, *(f"{what}: {count:,}" for what, count in counts.items() if count)]


def check_pool(
    data_dir: str, *, decode: int | None = DEFAULT_DECODE, shards: int | None = None, num_workers: int = 4
) -> PoolReport:
    """Read every shard, or an even spread of `shards` of them, and decode `decode` images of each (all where None)."""
    for name, number, least in (("decode", decode, 0), ("shards", shards, 1), ("num-workers", num_workers, 1)):
        if number is not None and number < least:
            raise ConfigError(f"{name} must be at least {least}, got {number}")
    found, passed_over = list_pool(data_dir)
    chosen = _spread(found, shards)
    with progress(len(chosen), "check", "shard") as bar:
        checks = []
        for check in in_order(lambda shard: check_shard(shard, decode), chosen, num_workers):
            checks.append(check)
            bar.update()
    return _report(data_dir, found, passed_over, checks)


def _report(data_dir: str, found: list[Shard], passed_over: dict[str, str], checks: list[ShardCheck]) -> PoolReport:
    duplicates, examples = _duplicates([check.uids for check in checks])
    return PoolReport(
        data_dir=data_dir,
        shards_found=len(found),
        passed_over=passed_over,
        shards_checked=len(checks),
        bytes=sum(shard.size for shard in found),
        samples=sum(check.samples for check in checks),
        statuses=dict(_total(check.statuses for check in checks).most_common()),
        made_uids=dict(_total(check.made_uids for check in checks)),
        layout=dict(_total(check.layout.counts for check in checks)),
        images_decoded=sum(check.decoded for check in checks),
        image_side=_summary(_total(check.sides for check in checks)),
        caption_length=_summary(_total(check.caption_lengths for check in checks)),
        missing_shards=tuple(_gaps(found)),
        empty_shards=tuple(
            check.shard.name for check in checks if not (check.samples or check.damage or check.unreadable)
        ),
        unreadable_shards={check.shard.name: check.unreadable for check in checks if check.unreadable},
        damaged_shards=tuple(
            Damage(check.shard.name, check.damage_offset, check.damage) for check in checks if check.damage
        ),
        stats_mismatches=tuple(_stats_mismatches(checks)),
        duplicate_uids=duplicates,
        duplicate_examples=tuple(examples),
        bad_examples=tuple([line for check in checks for line in check.bad_samples][:_EXAMPLES]),
        layout_examples=tuple(
            [f"{check.shard.name} {line}" for check in checks for line in check.layout.examples][:_EXAMPLES]
        ),
    )


def _spread(shards: list[Shard], count: int | None) -> list[Shard]:
    if count is None or count >= len(shards):
        return shards
    return [shards[index * len(shards) // count] for index in range(count)]


def _total(counters: Iterable[Counter[Any]]) -> Counter[Any]:
    total: Counter[Any] = Counter()
    for counter in counters:
        total.update(counter)
    return total


def _summary(counts: Counter[int]) -> Spread | None:
    """The spread of a multiset given as value -> occurrences; the median is the lower one of two."""
    total = counts.total()
    if not total:
        return None
    values = sorted(counts)
    seen = np.cumsum([counts[value] for value in values])
    median = values[int(np.searchsorted(seen, (total + 1) // 2))]
    mean = sum(value * times for value, times in counts.items()) / total
    return Spread(count=total, smallest=values[0], median=median, mean=mean, largest=values[-1])


def _gaps(shards: list[Shard]) -> list[str]:
    """Runs of absent numbers between the first and the last shard of each folder."""
    numbers: dict[str, list[str]] = {}
    for shard in shards:
        folder, _, file = shard.name.rpartition("/")
        if match := re.fullmatch(r"(\d+)\.tar", file):
            numbers.setdefault(folder, []).append(match[1])
    gaps = []
    for folder, names in numbers.items():
        prefix = f"{folder}/" if folder else ""
        present = sorted(names, key=int)
        for before, after in pairwise(present):
            first, last = int(before) + 1, int(after) - 1
            if first <= last:
                width = len(before)
                gaps.append(f"{prefix}{first:0{width}d}" + (f" to {last:0{width}d}" if last > first else ""))
    return gaps


def _stats_mismatches(checks: list[ShardCheck]) -> list[str]:
    folders = {storage.parent(check.shard.url) for check in checks}
    present = {info.url for folder in folders for info in storage.list_files(folder, "_stats.json")}
    lines = []
    for check in checks:
        url = check.shard.url.removesuffix(".tar") + "_stats.json"
        if url not in present or check.unreadable:
            continue
        try:
            stats = storage.read_json(url)
        except ConfigError as error:
            lines.append(f"{check.shard.name}: {error}")
            continue
        promised = stats.get("successes") if isinstance(stats, dict) else None
        if promised != check.samples:
            lines.append(f"{check.shard.name}: {promised} samples promised, {check.samples} found")
    return lines


def _duplicates(parts: list[NDArray[np.uint64]]) -> tuple[int, list[str]]:
    """Rows beyond the first of each uid, and some of those uids. [n, 2] arrays, which are all the memory it needs.

    Uids are hashes, so their leading digit splits them evenly; a sixteenth of them is sorted at a time.
    """
    surplus = 0
    examples: list[str] = []
    for bucket in range(_UID_BUCKETS):
        pairs = np.concatenate([part[part[:, 0] >> np.uint64(60) == bucket] for part in parts])
        pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
        repeated = (pairs[1:] == pairs[:-1]).all(axis=1)
        surplus += int(repeated.sum())
        if len(examples) < _EXAMPLES:
            uids = [join_uid(int(high), int(low)) for high, low in np.unique(pairs[1:][repeated], axis=0)]
            examples += uids[: _EXAMPLES - len(examples)]
    return surplus, examples
