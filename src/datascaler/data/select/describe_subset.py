"""What there is to say of a subset file, of two of them, and of what a pool has of one."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datascaler.data.plan.plan import Plan
from datascaler.data.subset.combine import is_in
from datascaler.data.subset.multiset import distinct_counts, first_of_each
from datascaler.data.subset.subset import format_of, open_subset, read_recipe, subset_digest

_SET_BITS = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(axis=1, dtype=np.uint8)
"""How many bits each byte value sets."""


@dataclass(frozen=True, slots=True)
class SubsetReport:
    subset: str
    format: str
    was_sorted: bool | None
    """None where the format knows no order."""
    uids: int
    """Repeats counted."""
    distinct: int
    most_repeated: int
    """How often the most frequent uid is there."""
    digest: str
    recipe: dict[str, Any] | None
    recipe_fits: bool | None
    """Whether the recipe is of these uids; None without one."""


@dataclass(frozen=True, slots=True)
class Overlap:
    """How many distinct uids two subsets share."""

    first: str
    second: str
    common: int
    of_first: float
    """Part of the first that is in the second."""
    of_second: float
    jaccard: float
    """Common over all."""


@dataclass(frozen=True, slots=True)
class ShardKept:
    shard: str
    rows: int
    kept: int
    """Distinct rows."""
    fraction: float


@dataclass(frozen=True, slots=True)
class CoverageReport:
    """What a pool has of a subset."""

    wanted: int
    """Uids of the subset, repeats counted."""
    present: int
    coverage: float
    kept_rows: int
    """Distinct rows."""
    rows: int
    shards: list[ShardKept]


def describe_subset(url: str) -> tuple[SubsetReport, NDArray[np.void]]:
    """The report, and the uids, ascending."""
    uids, was_sorted = open_subset(url, strict=False)
    _, counts = distinct_counts(uids)
    digest, recipe = subset_digest(uids), read_recipe(url)
    report = SubsetReport(
        subset=url,
        format=format_of(url),
        was_sorted=was_sorted,
        uids=len(uids),
        distinct=len(counts),
        most_repeated=int(counts.max()),
        digest=digest,
        recipe=recipe,
        recipe_fits=recipe["digest"] == digest if recipe else None,
    )
    return report, uids


def overlaps(urls: Sequence[str], subsets: Sequence[NDArray[np.void]]) -> list[Overlap]:
    """The overlap of every pair. The subsets are ascending."""
    distinct = [uids[first_of_each(uids)] for uids in subsets]
    found = []
    for one, other in combinations(range(len(urls)), 2):
        few, many = sorted((distinct[one], distinct[other]), key=len)
        common = int(is_in(few, many).sum())
        sizes = len(distinct[one]), len(distinct[other])
        jaccard = common / (sum(sizes) - common)
        found.append(Overlap(urls[one], urls[other], common, common / sizes[0], common / sizes[1], jaccard))
    return found


def describe_plan(plan: Plan) -> CoverageReport:
    """Coverage, and the kept rows of every shard, from the bitmaps of a plan."""
    kept = _kept_rows(plan.arrays["bits"], plan.arrays["shard_bits"].astype(np.int64))
    rows = plan.arrays["shard_rows"]
    names = [shard.name for shard in plan.shards]
    columns = rows.tolist(), kept.tolist(), (kept / np.maximum(rows, 1)).tolist()
    return CoverageReport(
        wanted=plan.wanted,
        present=plan.samples,
        coverage=plan.samples / max(1, plan.wanted),
        kept_rows=int(kept.sum()),
        rows=plan.rows,
        shards=[ShardKept(*each) for each in zip(names, *columns, strict=True)],
    )


def _kept_rows(bits: NDArray[np.uint8], bounds: NDArray[np.int64]) -> NDArray[np.int64]:
    """Set bits in the bytes [bounds[i], bounds[i + 1]) of each of s shards."""
    kept = np.zeros(len(bounds) - 1, np.int64)
    # A shard without rows has no byte of its own, which reduceat would not understand.
    filled = np.flatnonzero(np.diff(bounds))
    if len(filled):
        kept[filled] = np.add.reduceat(_SET_BITS[bits], bounds[filled], dtype=np.int64)
    return kept
