"""Several score columns of one pool, joined row by row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from datascaler.data.pool.uids import join_uid
from datascaler.data.select.scored_pool import TableScores, Uids
from datascaler.errors import ConfigError


@dataclass(frozen=True, slots=True)
class JoinedTables:
    """A row is usable if it is usable in every column."""

    shards: Sequence[str]
    """Names, for messages; table i of every column is of shard i."""
    columns: Mapping[str, TableScores]
    """The tables of each column by its score-id."""

    @property
    def tables(self) -> int:
        return len(self.shards)

    def scores(self, table: int) -> NDArray[np.float32]:
        """[columns, rows], NaN in all columns where a row is not usable."""
        return _usable_in_all([column.scores(table) for column in self.columns.values()])

    def scored_uids(self, table: int) -> tuple[NDArray[np.float32], Uids]:
        """The same, with the uids, which are checked: ConfigError where the columns are not of the same rows."""
        read = {name: column.scored_uids(table) for name, column in self.columns.items()}
        first, *others = read
        for other in others:
            self._require_same_rows(table, (first, read[first][1]), (other, read[other][1]))
        return _usable_in_all([scores for scores, _ in read.values()]), read[first][1]

    def _require_same_rows(self, table: int, one: tuple[str, Uids], other: tuple[str, Uids]) -> None:
        shard = self.shards[table]
        (name, (high, low)), (other_name, (other_high, other_low)) = one, other
        remedy = "the tables are of different pools, or of different versions of this shard; score it again"
        if len(high) != len(other_high):
            raise ConfigError(
                f"shard {shard} has {len(high)} rows in {name} and {len(other_high)} in {other_name}: {remedy}"
            )
        differing = np.flatnonzero((high != other_high) | (low != other_low))
        if len(differing):
            row = int(differing[0])
            uids = join_uid(int(high[row]), int(low[row])), join_uid(int(other_high[row]), int(other_low[row]))
            raise ConfigError(
                f"row {row} of shard {shard} has the uid {uids[0]} in {name} and {uids[1]} in {other_name}: {remedy}"
            )


def _usable_in_all(columns: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    together = np.stack(columns)
    together[:, np.isnan(together).any(axis=0)] = np.nan
    return together
