"""A mix of score columns as a pool of its own, which is selected from like any other."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from datascaler.data.select.column_moments import measure_columns
from datascaler.data.select.column_ranks import sort_columns
from datascaler.data.select.joined_tables import JoinedTables
from datascaler.data.select.scored_pool import Uids
from datascaler.spec.mix_rule import ZSCORE, MixRule

MEASURE_PASSES = 1
"""How often a mix reads every table of every column before it can be selected from."""


class ColumnScale(Protocol):
    """How a column's scores become comparable to another's."""

    def __call__(self, scores: NDArray[np.float32]) -> NDArray[np.float64]:
        """[n] finite scores -> [n]."""
        ...


@dataclass(frozen=True, slots=True)
class MixedScores:
    """Scores are mixed anew in every pass: that costs reading, not memory or disk."""

    joined: JoinedTables
    rule: MixRule
    scales: Mapping[str, ColumnScale]

    @property
    def tables(self) -> int:
        return self.joined.tables

    def scores(self, table: int) -> NDArray[np.float32]:
        return self._mix(self.joined.scores(table))

    def scored_uids(self, table: int) -> tuple[NDArray[np.float32], Uids]:
        columns, uids = self.joined.scored_uids(table)
        return self._mix(columns), uids

    def _mix(self, columns: NDArray[np.float32]) -> NDArray[np.float32]:
        """[columns, n] -> [n], NaN where a row is not usable."""
        usable = ~np.isnan(columns[0])
        total = np.zeros(int(usable.sum()), np.float64)
        for column, (name, weight) in zip(columns, self.rule.weights.items(), strict=True):
            total += weight * self.scales[name](column[usable])
        if self.rule.kind != ZSCORE:
            total /= sum(abs(weight) for weight in self.rule.weights.values())
        mixed = np.full(len(usable), np.nan, np.float32)
        mixed[usable] = total
        return mixed


def open_mix(
    joined: JoinedTables, rule: MixRule, scratch: Path, on_table: Callable[[], object] = lambda: None
) -> MixedScores:
    """Measure the columns (one pass, in which uids are checked) and mix them.

    Ranks keep 4 bytes a usable row and column in `scratch`, a local folder, for as long as the mix is used. Raises
    ConfigError where the columns are not of the same rows, where no row is usable in all of them, and for a z-score of
    a column that has one score throughout.
    """
    scales: Mapping[str, ColumnScale]
    scales = measure_columns(joined, on_table) if rule.kind == ZSCORE else sort_columns(joined, scratch, on_table)
    return MixedScores(joined, rule, scales)
