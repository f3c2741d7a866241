"""DataComp's metadata parquet files as a pool of rows: uid, caption, size and scores of each sample, without its image.

The files are a pool's shards where a run is told `--from-metadata`: they are listed, frozen and scored as tars are.
Rows of metadata lie in no tar, so their tables have no key, and offset and length 0.
"""

from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pyarrow as pa

from datascaler import storage
from datascaler.data.pool.hex_uids import uids_of_column
from datascaler.data.pool.parquet import cast_column, read_parquet
from datascaler.data.pool.samples import NO_UID, OK
from datascaler.data.pool.shards import Shard, require_unchanged
from datascaler.data.tables.score_table import ROW_SCHEMA
from datascaler.errors import BadInputError, ConfigError

_SUFFIX = ".parquet"


def find_metadata(folder: str, only: Container[str] | None = None) -> list[Shard]:
    """The parquet files below `folder`, by name; below `folder/metadata` where there are some, DataComp's layout.

    With `only`, those among these URLs. Raises ConfigError where there is none.
    """
    inside = storage.join(folder, "metadata")
    for base in (inside, folder):
        found = storage.list_files(base, _SUFFIX, recursive=True)
        if found:
            files = storage.identify_all(info for info in found if only is None or info.url in only)
            return [Shard(info.url, storage.relative_to(info.url, base), info.size, info.etag) for info in files]
    storage.require_bucket(folder)
    raise ConfigError(f"no {_SUFFIX} files in {folder} nor in {inside}: DataComp's downloader puts its metadata there")


def is_metadata(shard: Shard) -> bool:
    return shard.name.endswith(_SUFFIX)


def read_metadata(shard: Shard, columns: Sequence[str]) -> pa.Table:
    """The rows of a metadata file: `ROW_SCHEMA` and the named columns as they are.

    The status is `no uid` where the uid is not 32 hex digits, else `ok`. Raises ConfigError for a file that changed
    since it was listed, BadInputError for one that is not parquet or lacks a column.
    """
    require_unchanged(shard)
    with usable_columns():
        table = read_parquet(shard.url, ["uid", *columns])
        texts = cast_column(table, "uid", pa.large_string(), shard.url)
    uids, valid = uids_of_column(texts)
    rows = table.num_rows
    places = pa.table(
        {
            "uid_high": uids["f0"],
            "uid_low": uids["f1"],
            "key": pa.array(np.full(rows, "")),
            "offset": np.zeros(rows, np.uint64),
            "length": np.zeros(rows, np.uint64),
            "status": pa.array(np.where(valid, OK, NO_UID)),
        },
        schema=ROW_SCHEMA,
    )
    for name in columns:
        places = places.append_column(name, table[name])
    return places


@contextmanager
def usable_columns() -> Iterator[None]:
    """A metadata file that is damaged, or whose columns have other types than DataComp's, is one bad file of many."""
    try:
        yield
    except ConfigError as error:
        raise BadInputError(f"{error}; get the file again, or take it out of the folder") from error
