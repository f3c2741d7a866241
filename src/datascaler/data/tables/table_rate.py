"""How fast tables are coming, by when their files were published: rate, time left, and whether anybody works."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

_PAUSE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Published:
    """One finished table."""

    modified: float
    """When, in seconds since 1970."""
    rows: int
    seconds: float
    """That its shard took."""


@dataclass(frozen=True, slots=True)
class Rate:
    samples_per_second: float | None
    """None where fewer than two tables came one after the other."""
    working: bool
    """Whether the newest table is recent, given how long a shard takes."""


def table_rate(recent: Sequence[Published], now: float) -> Rate:
    """The rate of the newest unbroken series of tables.

    A worker that runs publishes once per shard. So a gap between tables that is longer than two of the slowest shards,
    and a minute, is one in which nobody worked: what came before it says nothing about now.
    """
    ordered = sorted(recent, key=lambda each: each.modified)
    if not ordered:
        return Rate(None, working=False)
    longest_gap = _PAUSE_SECONDS + 2 * max(each.seconds for each in ordered)
    working = now - ordered[-1].modified <= longest_gap
    first = 0
    for number, (before, after) in enumerate(pairwise(ordered), start=1):
        if after.modified - before.modified > longest_gap:
            first = number
    series = ordered[first:]
    span = series[-1].modified - series[0].modified
    # The first table's work was done before the span began.
    return Rate(sum(each.rows for each in series[1:]) / span if span > 0 else None, working)
