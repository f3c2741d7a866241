"""What a way of scoring captions looks like, and how a shard's rows and its scores become a table."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from datascaler.data.pool.samples import NO_SIZE
from datascaler.data.pool.shards import Shard
from datascaler.score.captions.rows import CaptionRows, read_caption_rows, with_status


@dataclass(frozen=True, slots=True)
class Judged:
    """What a rule says of n rows; what it says of rows that are not ok is not read."""

    scores: NDArray[np.float32]
    """[n]"""
    columns: Mapping[str, pa.Array] = field(default_factory=dict)
    """More columns for the table, [n] each."""


class CaptionRule(Protocol):
    """A way of scoring, with what it needs loaded. Several threads may ask it at a time."""

    @property
    def settings(self) -> dict[str, Any]:
        """All that its scores depend on besides the rows, as plain JSON; files by their hashes."""
        ...

    @property
    def needs_size(self) -> bool:
        """Whether rows whose original size is unknown can't be judged."""
        ...

    def judge(self, rows: CaptionRows) -> Judged: ...


def rule_table(rule: CaptionRule, shard: Shard) -> pa.Table:
    """The score table of a shard: NaN where the status is not ok. Raises as `read_caption_rows` does."""
    rows = read_caption_rows(shard)
    places = rows.places
    if rule.needs_size:
        places = with_status(places, NO_SIZE, rows.ok & (rows.sizes == 0).any(axis=1))
        rows = CaptionRows(places, rows.captions, rows.sizes)
    judged = rule.judge(rows)
    scores = np.where(rows.ok, judged.scores, np.float32("nan"))
    table = places.append_column("score", pa.array(scores, pa.float32()))
    for name, column in judged.columns.items():
        table = table.append_column(name, column)
    return table
