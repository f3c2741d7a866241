"""Near-duplicate removal over a whole pool: cluster, then compare within clusters (SemDeDup, arXiv 2303.09540).

One worker does it. Two passes over the image vectors: random rows for the clusters' centres, which are published once,
and all rows, which go to local disk by cluster. The tables come last, shard by shard.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from datascaler.errors import BadInputError
from datascaler.models.device import choose_device
from datascaler.progress import progress
from datascaler.score.embeddings.clustered_rows import ClusteredRows
from datascaler.score.embeddings.source import EmbeddingSource, read_blocks, require_width, table_of_scores
from datascaler.score.embeddings.vectors import nearest, unit

_OUTCOME = np.dtype([("seen", "?"), ("similarity", "f4"), ("uid_high", "u8"), ("uid_low", "u8")])
_SIDE = 2048
"""Rows that are compared with as many others at once: 16 MB of products."""


@dataclass(frozen=True, slots=True)
class DedupRule:
    eps: float
    """A row is a duplicate where its cosine with an earlier one is above 1 - eps."""
    keep: str
    """hard: farthest from its cluster's centre first, as in the paper; easy: nearest first; score: best source score
    first; first: in the order of the pool. Equal ones by uid."""

    def order(self, to_centre: NDArray[np.float32], scores: NDArray[Any], rows: NDArray[np.int64]) -> NDArray[Any]:
        """[n] numbers, to be sorted ascending."""
        orders = {"hard": to_centre, "easy": -to_centre, "score": -scores, "first": rows}
        return np.asarray(orders[self.keep], np.float64)


@dataclass(frozen=True, slots=True)
class Deduplicated:
    """What became of every row of a pool."""

    outcomes: NDArray[np.void]
    """[rows of the pool], in a file."""
    first_row: NDArray[np.int64]
    """The first row of every shard of the frozen list."""
    eps: float

    def table(self, number: int, rows: pa.Table) -> pa.Table:
        """The score table of the shard at that place: 1 for a row to keep, 0 for a duplicate."""
        start = int(self.first_row[number])
        outcomes = np.array(self.outcomes[start : start + rows.num_rows])
        seen, similarity = outcomes["seen"], outcomes["similarity"]
        is_duplicate = seen & is_above(similarity, self.eps)
        scores = np.where(seen, np.where(is_duplicate, 0, 1), np.nan).astype(np.float32)
        has_earlier = seen & np.isfinite(similarity)
        columns = {"similarity": pa.array(similarity, pa.float32(), mask=~has_earlier)}
        for half in ("high", "low"):
            columns[f"duplicate_of_{half}"] = pa.array(outcomes[f"uid_{half}"], pa.uint64(), mask=~is_duplicate)
        return table_of_scores(rows, scores, seen, columns)


def is_above(similarity: NDArray[np.float32], eps: float) -> NDArray[np.bool_]:
    return similarity > np.float32(1 - eps)


def deduplicate(source: EmbeddingSource, centroids: torch.Tensor, rule: DedupRule, scratch: Path) -> Deduplicated:
    """Compare every row with the others of its cluster. `scratch` takes the image vectors of the pool, and 21 bytes
    a row that the result is read from; it must live as long as the result is used.
    """
    counts = source.read_counts()
    ends = np.cumsum(counts, dtype=np.int64)
    first_row = np.concatenate([np.zeros(1, np.int64), ends[:-1]])
    # A file of no bytes can't be mapped.
    outcomes = np.memmap(scratch / "outcomes", _OUTCOME, "w+", shape=(max(int(ends[-1]), 1),))
    clustered = _assign(source, centroids, rule, counts, first_row, scratch / "clusters")
    with progress(len(outcomes), "dedup: compare", unit="row") as bar:
        for records in clustered.clusters() if clustered else ():
            records = records[np.lexsort((records["uid_low"], records["uid_high"], records["order"]))]
            similarity, place = nearest_earlier(unit(torch.from_numpy(records["vector"].copy()).to(choose_device())))
            outcome = np.zeros(len(records), _OUTCOME)
            outcome["seen"], outcome["similarity"] = True, similarity
            for half in ("uid_high", "uid_low"):
                outcome[half] = records[half][np.maximum(place, 0)]
            outcomes[records["row"]] = outcome
            bar.update(len(records))
    return Deduplicated(outcomes, first_row, rule.eps)


def _assign(
    source: EmbeddingSource,
    centroids: torch.Tensor,
    rule: DedupRule,
    counts: Sequence[int],
    first_row: NDArray[np.int64],
    folder: Path,
) -> ClusteredRows | None:
    """All rows by their nearest centre; None if there are none."""
    clustered: ClusteredRows | None = None
    with progress(len(source.shards), "dedup: assign", unit="shard") as bar:
        for number, shard in enumerate(source.shards):
            table = source.read_rows(shard)
            if table.num_rows != counts[number]:
                raise BadInputError(
                    f"{shard.name} has {table.num_rows:,} rows, and had {counts[number]:,} a moment ago: something "
                    "writes to its table; run this again when that is done"
                )
            for block in read_blocks(source, shard, table, source.arrays(text=False)):
                require_width(source, shard, block, centroids.shape[1])
                if clustered is None:
                    clustered = ClusteredRows(folder, block.stored[0].shape[1], block.stored[0].dtype)
                to_centre, clusters = (each.cpu().numpy() for each in nearest(block.units()[0], centroids))
                rows = first_row[number] + block.rows
                high, low, scores = (table[name].to_numpy()[block.rows] for name in ("uid_high", "uid_low", "score"))
                order = rule.order(to_centre, scores, rows)
                clustered.add(clusters, rows, order, (high, low), block.stored[0])
            bar.update()
    return clustered


def nearest_earlier(vectors: Tensor) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The largest cosine of each unit vector [n, d] with any earlier one, and that one's place; both [n].

    -inf and -1 for the first. Earlier ones that are duplicates themselves count: a chain of small steps loses all but
    its first row.
    """
    best = torch.full((len(vectors),), -torch.inf, device=vectors.device)
    place = torch.full((len(vectors),), -1, dtype=torch.long, device=vectors.device)
    for start in range(0, len(vectors), _SIDE):
        mine = slice(start, start + _SIDE)
        for first in range(0, start + 1, _SIDE):
            cosines = vectors[mine] @ vectors[first : first + _SIDE].T
            if first == start:
                cosines = torch.where(torch.ones_like(cosines).tril(-1) > 0, cosines, -torch.inf)
            largest, where = cosines.max(dim=1)
            is_better = largest > best[mine]
            best[mine] = torch.where(is_better, largest, best[mine])
            place[mine] = torch.where(is_better, where + first, place[mine])
    return best.cpu().numpy(), place.cpu().numpy()
