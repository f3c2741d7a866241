"""Score tables of a pool as a sample of them: whole tables, evenly spread over the list of shards.

A pool may have a hundred thousand tables, so at most so many are read, one after another, and what is drawn says of how
many rows of how many it is.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from datascaler import storage
from datascaler.data.pool.samples import OK
from datascaler.data.pool.shard_list import read_frozen_shards
from datascaler.data.pool.shards import Shard
from datascaler.data.pool.uids import sort_order, uid_pairs
from datascaler.data.subset.combine import is_in
from datascaler.data.tables.score_table import Footer, read_table, score_folders, table_url
from datascaler.errors import ConfigError, NotFoundError, StorageError

MOST_TABLES = 64
"""That are read of a score-id."""
_COLUMNS = ["uid_high", "uid_low", "key", "offset", "length", "status", "score"]


@dataclass(frozen=True, slots=True)
class Row:
    """Where a sample lies."""

    shard: Shard
    number: int
    """Its ordinal in the tar."""
    key: str
    offset: int
    length: int
    uid: tuple[int, int]
    score: float | None
    status: str


@dataclass(slots=True, kw_only=True)
class ScoredTables:
    """What was read of the tables of a score-id."""

    output_dir: str
    score_id: str
    shards: int
    """The shards of the frozen list."""
    tables: int = 0
    """That were read."""
    statuses: Counter[str] = field(default_factory=Counter)
    """Rows by status."""
    footer: Footer | None = None
    """The first table's."""
    faults: dict[str, str] = field(default_factory=dict)
    """Tables that can't be read, each with the reason."""
    scores: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))
    """The scores of the rows that are ok; all below are of these rows too."""
    uids: NDArray[np.void] = field(default_factory=lambda: np.empty(0, "u8,u8"))
    places: NDArray[np.int64] = field(default_factory=lambda: np.empty((0, 4), np.int64))
    """Shard, ordinal, offset, length."""
    keys: list[str] = field(default_factory=list)
    bad: list[Row] = field(default_factory=list)
    """The first row of each other status."""
    shard_list: Sequence[Shard] = ()

    @property
    def rows(self) -> int:
        return self.statuses.total()

    @property
    def denominator(self) -> str:
        """What part of all rows a figure shows."""
        rows = f"{len(self.scores):,} rows with a score of {self.rows:,} rows"
        if self.tables == self.shards:
            return f"all {rows}"
        return f"{rows} in {self.tables:,} of {self.shards:,} shards, evenly spread over the list"

    def row(self, at: int) -> Row:
        shard, number, offset, length = self.places[at].tolist()
        high, low = self.uids[at].tolist()
        score = float(self.scores[at])
        return Row(self.shard_list[shard], number, self.keys[at], offset, length, (high, low), score, OK)

    def kept_by(self, subset: NDArray[np.void]) -> NDArray[np.bool_]:
        """Whether each row is in a subset, whose uids ascend."""
        order = sort_order(self.uids)
        kept = np.empty(len(order), np.bool_)
        kept[order] = is_in(self.uids[order], subset)
        return kept


def scored_tables(output_dir: str) -> list[ScoredTables]:
    """Those of every score-id of an output folder."""
    shards = read_frozen_shards(output_dir)
    found = []
    for folder in score_folders(output_dir):
        made = _read(output_dir, folder, shards)
        if made.tables or made.faults:
            found.append(made)
    return found


def _read(output_dir: str, folder: str, shards: Sequence[Shard]) -> ScoredTables:
    # The first, the last, and what lies between them at equal steps; a table that isn't there yet is passed over.
    wanted = sorted({round(at) for at in np.linspace(0, len(shards) - 1, min(len(shards), MOST_TABLES))})
    made = ScoredTables(output_dir=output_dir, score_id=storage.basename(folder), shards=len(shards), shard_list=shards)
    scores, uids, places = [], [], []
    for at in wanted:
        url = table_url(folder, shards[at])
        try:
            table, footer = read_table(url, _COLUMNS)
        except NotFoundError:
            continue
        except (ConfigError, StorageError) as error:
            made.faults[url] = str(error)
            continue
        made.tables += 1
        made.footer = made.footer or footer
        statuses = np.array(table["status"].to_pylist(), dtype=object)
        made.statuses.update(statuses.tolist())
        columns = {name: table[name].to_numpy() for name in ("uid_high", "uid_low", "offset", "length", "score")}
        keys = table["key"].to_pylist()
        ok = np.flatnonzero((statuses == OK) & np.isfinite(columns["score"]))
        scores.append(columns["score"][ok].astype(np.float32))
        uids.append(uid_pairs(columns["uid_high"][ok], columns["uid_low"][ok]))
        lies = (np.full(len(ok), at), ok, columns["offset"][ok], columns["length"][ok])
        places.append(np.stack([each.astype(np.int64) for each in lies], axis=1))
        made.keys += [keys[each] for each in ok]
        _add_bad(made, shards[at], statuses, columns, keys)
    if scores:
        made.scores, made.uids, made.places = map(np.concatenate, (scores, uids, places))
    return made


def _add_bad(
    made: ScoredTables,
    shard: Shard,
    statuses: NDArray[np.object_],
    columns: dict[str, NDArray[np.uint64]],
    keys: list[str],
) -> None:
    known = {row.status for row in made.bad} | {OK}
    for status in dict.fromkeys(statuses.tolist()):
        if status not in known:
            at = int(np.flatnonzero(statuses == status)[0])
            uid = int(columns["uid_high"][at]), int(columns["uid_low"][at])
            place = int(columns["offset"][at]), int(columns["length"][at])
            made.bad.append(Row(shard, at, keys[at], *place, uid, None, status))
