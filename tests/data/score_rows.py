"""Pools as rows of scores, written as tables and selected from by a sort of everything."""

import math
import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datascaler.data.pool.samples import BAD_IMAGE, OK
from datascaler.data.pool.uids import uid_hex
from datascaler.data.select.scored_pool import ScoredPool, TableScores
from datascaler.data.select.select import Selection, select
from datascaler.spec.select_rule import SelectRule
from tests.data.made_tables import add_table, uids_of

NAN = float("nan")


@dataclass
class Row:
    uid: str
    score: float
    status: str = OK

    @property
    def usable(self) -> bool:
        return self.status == OK and math.isfinite(self.score)

    @property
    def score32(self) -> float:
        return float(np.float32(self.score))


def write_rows(folder: Path, rows: list[Row], tables: int = 1) -> TableScores:
    urls = []
    for number in range(tables):
        part = rows[number::tables]
        scores, statuses = [row.score for row in part], [row.status for row in part]
        add_table(str(folder), f"{number:04d}", [row.uid for row in part], scores, statuses)
        urls.append(f"{folder}/{number:04d}.parquet")
    return TableScores(urls)


def mixed_rows(count: int, seed: int) -> list[Row]:
    """Ties in plenty, both zeros, negative scores, subnormals, bad rows, and uids that come twice."""
    generator = random.Random(seed)
    uids = uids_of(count, seed)
    special = [0.0, -0.0, 0.25, -0.25, 1.0, -1.0, 1e-42, -1e-42, 3e38, -3e38]
    rows = []
    for number, uid in enumerate(uids):
        score = generator.choice(special) if generator.random() < 0.5 else generator.uniform(-1, 1)
        row = Row(uid if generator.random() < 0.9 else uids[number // 2], score)
        if generator.random() < 0.1:
            row.status = BAD_IMAGE
        if generator.random() < 0.1:
            row.score = generator.choice([NAN, math.inf, -math.inf])
        rows.append(row)
    return rows


def best_first(rows: list[Row]) -> list[Row]:
    """The usable rows: best score first, then the smaller uid."""
    return sorted((row for row in rows if row.usable), key=lambda row: (-row.score32, row.uid))


def selected(pool: ScoredPool, rule: SelectRule, scratch: Path, run_rows: int = 1 << 16) -> tuple[Selection, list[str]]:
    """A selection, and its uids as they are in the file."""
    found = select(pool, rule, scratch, run_rows=run_rows)
    return found, uid_hex(np.load(found.path))


def assert_keeps(found: tuple[Selection, list[str]], kept: list[Row], rows: list[Row]) -> None:
    """That the selection is `kept`, and that its counts are those of the pool `rows`."""
    selection, uids = found
    assert uids == sorted({row.uid for row in kept})
    usable = [row for row in rows if row.usable]
    assert (selection.rows, selection.usable, selection.kept) == (len(rows), len(usable), len(kept))
    ties = [row for row in usable if row.score32 == selection.threshold]
    assert selection.ties == len(ties)
    assert selection.kept_ties == sum(row.score32 == selection.threshold for row in kept)
