"""The captions of a shard, be it a tar of the pool or a file of DataComp's metadata."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from datascaler.data.pool.parquet import cast_column
from datascaler.data.pool.samples import NO_CAPTION, OK
from datascaler.data.pool.shards import Shard
from datascaler.data.tables.datacomp_metadata import is_metadata, read_metadata, usable_columns
from datascaler.data.tables.index_tables import read_shard
from datascaler.data.tables.score_table import rows_table, with_digest

_COLUMNS = ("text", "original_width", "original_height")


@dataclass(frozen=True, slots=True)
class CaptionRows:
    """n rows in the order of their shard."""

    places: pa.Table
    """The columns of `ROW_SCHEMA`: uid, place and status."""
    captions: list[str]
    """Empty where the status is not ok."""
    sizes: NDArray[np.int64]
    """[n, 2] width and height before the pool shrank the image; zeros where unknown."""

    @property
    def ok(self) -> NDArray[np.bool_]:
        """[n]"""
        return np.asarray(pc.equal(self.places["status"], OK).to_numpy())


def read_caption_rows(shard: Shard) -> CaptionRows:
    """Raises NotFoundError for a shard that is gone, ConfigError for one that changed, BadInputError for metadata that
    can't be read.
    """
    return _of_metadata(shard) if is_metadata(shard) else _of_tar(shard)


def _of_tar(shard: Shard) -> CaptionRows:
    samples, digests = [], list[str]()
    for sample in read_shard(shard, on_digest=digests.append):
        sample.image = b""
        samples.append(sample)
    captions = [sample.caption if sample.status == OK else "" for sample in samples]
    sizes = np.array([sample.original_size for sample in samples], np.int64).reshape(-1, 2)
    return CaptionRows(with_digest(rows_table(samples), "".join(digests)), captions, sizes)


def _of_metadata(shard: Shard) -> CaptionRows:
    table = read_metadata(shard, _COLUMNS)
    without = pc.and_(pc.equal(table["status"], OK), pc.is_null(table["text"]))
    places = table.select([name for name in table.column_names if name not in _COLUMNS])
    places = with_status(places, NO_CAPTION, without.to_numpy())
    with usable_columns():
        texts = cast_column(table, "text", pa.large_string(), shard.url)
        columns = [cast_column(table, name, pa.int64(), shard.url, safe=False) for name in _COLUMNS[1:]]
    captions = pc.if_else(pc.equal(places["status"], OK), texts, "").to_pylist()
    sides = [pc.fill_null(column, 0).to_numpy() for column in columns]
    sizes = np.stack(sides, axis=1)
    sizes[(sizes <= 0).any(axis=1)] = 0
    return CaptionRows(places, captions, sizes)


def with_status(places: pa.Table, status: str, rows: NDArray[np.bool_]) -> pa.Table:
    """The table with another status at these rows [n]."""
    statuses = pc.if_else(pa.array(rows), status, places["status"])
    return places.set_column(places.schema.get_field_index("status"), "status", statuses)
