"""Mean and standard deviation of score columns over the rows that are usable in all of them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from datascaler.data.select.joined_tables import JoinedTables
from datascaler.data.select.table_pass import each_batch
from datascaler.errors import ConfigError


@dataclass(frozen=True, slots=True)
class ZScore:
    mean: float
    deviation: float
    """Standard deviation of the whole pool, not the estimate from a sample."""

    def __call__(self, scores: NDArray[np.float32]) -> NDArray[np.float64]:
        return (scores.astype(np.float64) - self.mean) / self.deviation


@dataclass(slots=True)
class _Moments:
    rows: int
    mean: NDArray[np.float64]
    """[columns]"""
    squares: NDArray[np.float64]
    """[columns]: sums of squared distances from the mean."""

    def add(self, other: "_Moments") -> None:
        """Combine disjoint sets of rows without the cancellation of sums of squares (Chan, Golub, LeVeque 1979)."""
        if not other.rows:
            return
        rows = self.rows + other.rows
        shift = other.mean - self.mean
        self.squares += other.squares + shift**2 * (self.rows * other.rows / rows)
        self.mean += shift * (other.rows / rows)
        self.rows = rows


def measure_columns(joined: JoinedTables, on_table: Callable[[], object] = lambda: None) -> dict[str, ZScore]:
    """Mean and standard deviation of each column, by its score-id.

    Sums are in float64, table after table in their order, so that a rerun has the same bits.
    """

    def measure(batch: range) -> list[_Moments]:
        return [_moments(joined.scored_uids(table)[0]) for table in batch]

    total = _Moments(0, np.zeros(len(joined.columns)), np.zeros(len(joined.columns)))
    for tables in each_batch(joined.tables, measure, on_table):
        for each in tables:
            total.add(each)
    if not total.rows:
        raise ConfigError(f"no row is usable in all of {', '.join(joined.columns)}: there is nothing to mix")
    scales = {}
    for name, mean, squares in zip(joined.columns, total.mean, total.squares, strict=True):
        if squares == 0:
            raise ConfigError(f"all rows of {name} score {mean:g}, which has no z-score: leave it out of the mix")
        scales[name] = ZScore(float(mean), float(np.sqrt(squares / total.rows)))
    return scales


def _moments(columns: NDArray[np.float32]) -> _Moments:
    usable = columns[:, ~np.isnan(columns[0])].astype(np.float64)
    if not usable.shape[1]:
        return _Moments(0, np.zeros(len(columns)), np.zeros(len(columns)))
    mean = usable.mean(axis=1)
    return _Moments(usable.shape[1], mean, ((usable - mean[:, None]) ** 2).sum(axis=1))
