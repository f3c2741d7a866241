"""A shard's embeddings -> its score table, by methods whose score of a row needs none of the shard's other rows."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from datascaler.data.pool.shards import Shard
from datascaler.errors import BadInputError, ConfigError, NotFoundError
from datascaler.score.embeddings.source import (
    EmbeddingBlock,
    EmbeddingSource,
    good_rows,
    read_blocks,
    require_width,
    table_of_scores,
)

Made = TypeVar("Made")


class BlockScorer(Protocol):
    """A method that has read what it compares with."""

    @property
    def width(self) -> int:
        """Numbers in a vector that it can score."""

    def score(self, shard: int, block: EmbeddingBlock) -> NDArray[np.float32]:
        """[k]: of the rows of a block of the shard at that place of the frozen list."""


@dataclass(slots=True)
class Once(Generic[Made]):
    """What many threads use, made by the first of them that needs it."""

    make: Callable[[], Made]
    lock: threading.Lock = field(default_factory=threading.Lock)
    made: list[Made] = field(default_factory=list)

    def get(self) -> Made:
        """Raises ConfigError where a shard that all others are compared with can't be read."""
        with self.lock:
            if not self.made:
                try:
                    self.made.append(self.make())
                except (NotFoundError, BadInputError) as error:
                    raise ConfigError(f"{error}; all other shards are compared with this one") from error
            return self.made[0]


def scored_table(
    source: EmbeddingSource, place: int, scorer: BlockScorer, lock: threading.Lock, *, needs_text: bool
) -> pa.Table:
    """The table of the shard at a place of the frozen list.

    The lock is for arithmetic: threads that read overlap, those of torch would only wait for one another.

    Raises BadInputError where embeddings and rows don't fit, ConfigError where they don't fit the scorer.
    """
    shard: Shard = source.shards[place]
    rows = source.read_rows(shard)
    good = good_rows(rows)
    scores, seen = np.full(len(good), np.nan, np.float32), np.zeros(len(good), bool)
    for block in read_blocks(source, shard, rows, source.arrays(text=needs_text)):
        require_width(source, shard, block, scorer.width)
        with lock:
            scores[block.rows] = scorer.score(place, block)
        seen[block.rows] = True
    return table_of_scores(rows, scores, seen)
