"""How far scoring runs are, from the files of an output folder alone: one listing, and the tables' footers."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise

from datascaler import storage
from datascaler.data.pool.shard_list import read_frozen_shards
from datascaler.data.pool.shards import Shard
from datascaler.data.tables.score_table import SCORES, Footer, count_table, read_listed_footer, table_url
from datascaler.errors import ConfigError, NotFoundError, RunNotFoundError
from datascaler.tools.ordered_map import read_in_order

INDEX = "index"
"""Stands for the score-id of tables without scores."""
RECENT_TABLES = 64
"""The newest tables, which the rate is taken of."""
_EXAMPLES = 5
_READERS = 32
"""Footers are small: reading one is waiting for the store."""

Known = dict[storage.FileInfo, Footer]
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


@dataclass(kw_only=True, slots=True)
class ScoreRun:
    """The tables of one score-id, against the frozen list of shards."""

    score_id: str
    tables: str
    """Their folder."""
    wanted: int
    """Shards of the frozen list."""
    done: int
    missing: int
    first_missing: list[str] = field(default_factory=list)
    """Names of some shards without a table."""
    shards: int = 0
    """Tables whose footers `rows`, `ok` and `bad` count: all, or the newest."""
    rows: int = 0
    ok: int = 0
    bad: dict[str, int] = field(default_factory=dict)
    """Rows by status."""
    bad_examples: dict[str, str] = field(default_factory=dict)
    """A shard that has rows of each of these statuses."""
    unreadable: list[str] = field(default_factory=list)
    """Tables that are damaged, and not done until they are removed and made again."""
    samples_per_second: float | None = None
    """The rate of all workers together, by the newest tables."""
    eta_seconds: float | None = None
    """None where there is no rate, or nobody works."""
    working: bool = False
    """Whether a table came as recently as workers publish them."""
    newest: str | None = None
    """When the newest table was published, in UTC, as ISO 8601 has it."""


def find_score_runs(output_dir: str, *, known: Known | None = None, counts: bool = True) -> list[ScoreRun]:
    """The scoring runs and indexes of an output folder, by name.

    known: footers that an earlier call has read; it is filled, so that a watcher reads each once.
    counts: False reads the footers of the RECENT_TABLES newest tables only.

    Raises RunNotFoundError where no run has begun.
    """
    known = {} if known is None else known
    try:
        shards = read_frozen_shards(output_dir)
    except ConfigError as error:
        raise RunNotFoundError(str(error)) from error
    found: dict[str, list[storage.FileInfo]] = {}
    for kind in (SCORES, INDEX):
        below = storage.join(output_dir, kind)
        for info in storage.list_files(below, ".parquet", recursive=True):
            folder = storage.join(below, storage.relative_to(info.url, below).partition("/")[0])
            found.setdefault(folder, []).append(info)
    return [_score_run(output_dir, folder, found[folder], shards, known, counts=counts) for folder in sorted(found)]


def _score_run(
    output_dir: str, folder: str, infos: list[storage.FileInfo], shards: Sequence[Shard], known: Known, *, counts: bool
) -> ScoreRun:
    there = {info.url: info for info in infos}
    tables = [there.get(table_url(folder, shard)) for shard in shards]
    done = sorted((info for info in tables if info), key=lambda info: (info.modified, info.url))
    missing = [shard.name for shard, info in zip(shards, tables, strict=True) if info is None]
    is_index = folder.startswith(storage.join(output_dir, INDEX) + "/")
    run = ScoreRun(
        score_id=INDEX if is_index else storage.basename(folder),
        tables=folder,
        wanted=len(shards),
        done=len(done),
        missing=len(missing),
        first_missing=missing[:_EXAMPLES],
        newest=datetime.fromtimestamp(done[-1].modified, UTC).isoformat(timespec="seconds") if done else None,
    )
    footers = _read_footers(run, done if counts else done[-RECENT_TABLES:], known)
    for footer in footers.values():
        count_table(run, footer)
    recent = [
        Published(info.modified, footers[info].rows, footers[info].seconds)
        for info in done[-RECENT_TABLES:]
        if info in footers and info.modified
    ]
    rate = table_rate(recent, time.time())
    run.samples_per_second, run.working = rate.samples_per_second, rate.working and bool(missing)
    if run.working and rate.samples_per_second:
        run.eta_seconds = run.rows / run.shards * run.missing / rate.samples_per_second
    elif not missing:
        run.eta_seconds = 0.0
    return run


def _read_footers(run: ScoreRun, infos: Sequence[storage.FileInfo], known: Known) -> dict[storage.FileInfo, Footer]:
    """The footers of the tables that can be read; those that can't be are named in the run."""
    unknown = [info for info in infos if info not in known]
    for info, footer in zip(unknown, read_in_order(_footer, unknown, _READERS), strict=True):
        if footer is None:
            run.unreadable.append(storage.relative_to(info.url, run.tables))
        else:
            known[info] = footer
    return {info: known[info] for info in infos if info in known}


def _footer(info: storage.FileInfo) -> Footer | None:
    try:
        return read_listed_footer(info)
    except (ConfigError, NotFoundError):
        return None


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
