"""The scores of a pool, table by table, as a selection sees them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from datascaler.data.pool.samples import OK
from datascaler.data.tables.score_table import read_table

Uids = tuple[NDArray[np.uint64], NDArray[np.uint64]]
"""Digits 0-15 and digits 16-31 of the uids, [n] each."""


class ScoredPool(Protocol):
    """What can be selected from. Tables are numbered from 0; several threads may read at a time."""

    @property
    def tables(self) -> int: ...

    def scores(self, table: int) -> NDArray[np.float32]:
        """[rows]: finite where the row is usable, NaN where it is never to be kept."""
        ...

    def scored_uids(self, table: int) -> tuple[NDArray[np.float32], Uids]:
        """The same scores with the rows' uids."""
        ...


@dataclass(frozen=True, slots=True)
class TableScores:
    """The score column of one set of tables."""

    urls: Sequence[str]

    @property
    def tables(self) -> int:
        return len(self.urls)

    def scores(self, table: int) -> NDArray[np.float32]:
        return _usable_scores(_read(self.urls[table], ["score", "status"]))

    def scored_uids(self, table: int) -> tuple[NDArray[np.float32], Uids]:
        columns = _read(self.urls[table], ["score", "status", "uid_high", "uid_low"])
        return _usable_scores(columns), (columns["uid_high"].to_numpy(), columns["uid_low"].to_numpy())


@dataclass(frozen=True, slots=True)
class RandomScores:
    """Pseudo-random scores that depend on the seed and the uid only, of the rows that are usable in a set of tables."""

    urls: Sequence[str]
    seed: int

    @property
    def tables(self) -> int:
        return len(self.urls)

    def scores(self, table: int) -> NDArray[np.float32]:
        return self.scored_uids(table)[0]

    def scored_uids(self, table: int) -> tuple[NDArray[np.float32], Uids]:
        real, uids = TableScores(self.urls).scored_uids(table)
        return np.where(np.isnan(real), np.float32("nan"), random_scores(uids[1], self.seed)), uids


def random_scores(low: NDArray[np.uint64], seed: int) -> NDArray[np.float32]:
    """Uniform in [0, 1), 24 bits, from uid and seed: the finaliser of SplitMix64 (Steele et al. 2014)."""
    mixed = low + np.uint64((seed * 0x9E3779B97F4A7C15 + 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed = mixed ^ (mixed >> np.uint64(31))
    return (mixed >> np.uint64(40)).astype(np.float32) / np.float32(1 << 24)


def _read(url: str, columns: list[str]) -> pa.Table:
    return read_table(url, columns, dictionaries=["status"])[0]


def _usable_scores(columns: pa.Table) -> NDArray[np.float32]:
    scores = columns["score"].to_numpy()
    status = columns["status"].combine_chunks()
    # pyarrow's own search would load its compute functions, which takes longer than many tables.
    values = status.dictionary.to_pylist()
    ok = values.index(OK) if OK in values else -1
    usable = np.isfinite(scores) & (status.indices.to_numpy(zero_copy_only=False) == ok)
    return np.where(usable, scores, np.float32("nan"))
