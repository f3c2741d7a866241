"""The embeddings of a pool, shard by shard, with the rows that they belong to."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from datascaler import storage
from datascaler.data.pool.samples import OK
from datascaler.data.pool.shards import Shard
from datascaler.errors import BadInputError, ConfigError
from datascaler.models.device import choose_device
from datascaler.score.embeddings.npz_rows import BLOCK_ROWS, open_vectors
from datascaler.score.embeddings.vectors import unit

_COMPARED_ROWS = 256
"""Rows of each shard whose cosines are compared, to see whether its vectors are those of its rows."""
_FEWEST_ROWS, _LEAST_CORRELATION, _LEAST_SPREAD = 8, 0.9, 1e-3
IDENTITY = ["uid_high", "uid_low", "key", "offset", "length", "status"]
NO_EMBEDDING = "no embedding"
"""The row is good in the source, but its vector is zero or not finite."""


@dataclass(frozen=True, slots=True)
class EmbeddingSource:
    """Where embeddings are; `source_of_scores` and `source_of_metadata` make one."""

    name: str
    """Names exactly these embeddings in a pool."""
    model: str
    weights_hash: str
    preprocess_hash: str
    shards: Sequence[Shard]
    """The whole pool, in the order of the frozen list."""
    vectors: Mapping[str, str]
    """Name of a shard -> size and etag of its .npz."""
    image_array: str
    text_array: str
    read_rows: Callable[[Shard], pa.Table]
    """The rows of a shard: the columns IDENTITY, and `score` where the source has one."""
    npz_url: Callable[[Shard], str]
    read_counts: Callable[[], Sequence[int]]
    """Rows of every shard."""
    unfinished: str = ""
    """What the tables of the embeddings say of an unfinished run."""
    cosine_tolerance: float | None = None
    """How far a score may be from the cosine of its row's vectors; None where somebody else's need only follow it."""

    def arrays(self, *, text: bool = True) -> list[str]:
        return [self.image_array, self.text_array] if text else [self.image_array]


@dataclass(frozen=True, slots=True)
class EmbeddingBlock:
    """Some rows of a shard that have vectors."""

    rows: NDArray[np.int64]
    """[k] ordinals in the shard, ascending."""
    stored: list[NDArray[Any]]
    """One [k, d] an array, as they are in the file."""

    def units(self) -> list[Tensor]:
        """The same as float32 of length 1, on the device."""
        return [unit(torch.from_numpy(each).to(choose_device())) for each in self.stored]


def versions(files: Iterable[storage.FileInfo]) -> dict[str, str]:
    """URL -> size and etag of files as a listing saw them."""
    return {info.url: f"{info.size} {info.etag}" for info in storage.identify_all(files)}


def good_rows(table: pa.Table) -> NDArray[np.bool_]:
    """[rows]: whether the status is ok."""
    return np.array([status == OK for status in table["status"].to_pylist()], dtype=bool)


def read_blocks(
    source: EmbeddingSource, shard: Shard, table: pa.Table, arrays: Sequence[str]
) -> Iterator[EmbeddingBlock]:
    """The good rows whose vectors are finite and not zero; `table` has the rows of the shard.

    Raises BadInputError where the file does not have as many rows, or other ones, or the arrays not one width.
    """
    good, url = good_rows(table), source.npz_url(shard)
    with ExitStack() as stack:
        opened = [open_vectors(stack, url, name) for name in arrays]
        for each in opened:
            if each.rows != len(good):
                raise BadInputError(
                    f"{url}: {each.name} has {each.rows:,} rows, but the table of {shard.name} has {len(good):,}: "
                    "they were not written together; score the shard again with --overwrite"
                )
            if each.width != opened[0].width:
                raise BadInputError(f"{url}: {each.name} is {each.width} wide, {opened[0].name} {opened[0].width}")
        _require_same_rows(source, shard, table)
        blocks = zip(*(each.blocks() for each in opened), strict=True)
        for number, stored in enumerate(blocks):
            start = number * BLOCK_ROWS
            usable = good[start : start + len(stored[0])].copy()
            for each in stored:
                norms = np.linalg.norm(each.astype(np.float32), axis=1)
                usable &= np.isfinite(norms) & (norms > 0)
            if usable.any():
                yield EmbeddingBlock(start + np.flatnonzero(usable), [each[usable] for each in stored])


def _require_same_rows(source: EmbeddingSource, shard: Shard, table: pa.Table) -> None:
    """BadInputError where vectors and rows are in another order: a file of vectors has no uids, but the cosine of a
    row's two vectors is, or follows, its score.
    """
    url = source.npz_url(shard)
    with ExitStack() as stack:
        try:
            image, text = (open_vectors(stack, url, name).first(_COMPARED_ROWS) for name in source.arrays())
        except BadInputError:
            return  # without one of them; whoever needs it says so
        if len(image) != len(text) or image.shape != text.shape:
            return
        image, text = (each.astype(np.float32) for each in (image, text))
        norms = np.linalg.norm(image, axis=1) * np.linalg.norm(text, axis=1)
        scores = table["score"].to_numpy()[: len(image)]
        known = np.isfinite(norms) & (norms > 0) & np.isfinite(scores) & good_rows(table.slice(0, len(image)))
        cosines, scores = (image[known] * text[known]).sum(axis=1) / norms[known], scores[known]
    if not _are_of_same_rows(cosines, scores, source.cosine_tolerance):
        raise BadInputError(
            f"{url} has other rows than the table of {shard.name}, or has them in another order: the scores there are "
            "not the cosines of these vectors"
        )


def _are_of_same_rows(cosines: NDArray[np.float32], scores: NDArray[Any], tolerance: float | None) -> bool:
    if tolerance is not None:
        return bool((np.abs(cosines - scores) <= tolerance).all())
    if len(cosines) < _FEWEST_ROWS or min(cosines.std(), scores.std()) < _LEAST_SPREAD:
        return True  # chance could do it
    return float(np.corrcoef(cosines, scores)[0, 1]) >= _LEAST_CORRELATION


def require_width(source: EmbeddingSource, shard: Shard, block: EmbeddingBlock, width: int) -> None:
    """Raises ConfigError for vectors that can't be compared with those of `width` numbers."""
    own = block.stored[0].shape[1]
    if own != width:
        raise ConfigError(
            f"{source.npz_url(shard)} has vectors of {own} numbers, but they are compared with vectors of {width}: "
            "embed both with one model"
        )


def table_of_scores(
    rows: pa.Table, scores: NDArray[np.float32], seen: NDArray[np.bool_], columns: dict[str, pa.Array] | None = None
) -> pa.Table:
    """The score table of a shard: `scores` [rows], NaN where `seen` [rows] is false; good rows among these get a
    status of their own."""
    statuses = rows["status"].to_pylist()
    for row in np.flatnonzero(good_rows(rows) & ~seen):
        statuses[row] = NO_EMBEDDING
    table = rows.select(IDENTITY).set_column(IDENTITY.index("status"), "status", pa.array(statuses, pa.string()))
    table = table.append_column("score", pa.array(scores, pa.float32()))
    for name, column in (columns or {}).items():
        table = table.append_column(name, column)
    return table
