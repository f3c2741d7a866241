"""What a plan needs to know of a shard: whose its rows are, which can be used, and where they lie.

Score tables and index tables say it exactly. The log that img2dataset leaves beside each shard of a DataComp pool says
it without an offset, and costs no pass over the tars.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from datascaler import storage
from datascaler.data.pool.hex_uids import uids_of_column
from datascaler.data.pool.parquet import read_parquet
from datascaler.data.pool.pool_rows import SUCCESS
from datascaler.data.pool.samples import DAMAGED_TAR, OK
from datascaler.data.pool.shards import Shard, is_version
from datascaler.data.pool.tar import BLOCK_BYTES as TAR_BLOCK_BYTES
from datascaler.data.tables.index_tables import index_folder
from datascaler.data.tables.score_table import read_listed_footer, read_table, table_url
from datascaler.errors import ConfigError, NotFoundError, UnusableLogError
from datascaler.tools.ordered_map import read_in_order

_SMALLEST_SAMPLE_BYTES = 2 * 2 * TAR_BLOCK_BYTES
"""An image and a json, each a header and a block of content."""
_READERS = 16


@dataclass(frozen=True, slots=True)
class ShardRows:
    """n samples in tar order."""

    high: NDArray[np.uint64]
    low: NDArray[np.uint64]
    usable: NDArray[np.bool_]
    starts: NDArray[np.int64] | None = None
    """Bytes from the start of the tar; None where nobody has looked into it."""
    ends: NDArray[np.int64] | None = None
    content: str = ""
    """The digest of the shard, where it is known."""


def rows_of_table(folder: str, shard: Shard) -> ShardRows:
    """Read the rows of the shard's score or index table. Raises ConfigError for a table of another version of it.

    The row that a damaged tar ends with stands for no sample, so it is none of the plan's: no block reaches into it.
    """
    url = table_url(folder, shard)
    table, footer = read_table(url, ["uid_high", "uid_low", "status", "offset", "length"])
    if not is_version(shard, footer.size, footer.etag, footer.digest):
        raise ConfigError(f"the table of {shard.name} in {folder} was made from another version of the shard")
    if table.num_rows and table["status"][-1].as_py() == DAMAGED_TAR:
        table = table.slice(0, table.num_rows - 1)
    starts = table["offset"].to_numpy().astype(np.int64)
    ends = starts + table["length"].to_numpy().astype(np.int64)
    if (starts % TAR_BLOCK_BYTES).any() or (starts[1:] < ends[:-1]).any():
        raise ConfigError(f"{url} holds offsets that no tar can have: remove it and make it anew")
    usable = pc.equal(table["status"], OK).to_numpy()
    high, low = table["uid_high"].to_numpy(), table["uid_low"].to_numpy()
    return ShardRows(high, low, usable, starts, ends, footer.source.content)


def has_all_tables(folder: str, shards: Iterable[Shard]) -> bool:
    there = {info.url for info in storage.list_files(folder, ".parquet", recursive=True)}
    return all(table_url(folder, shard) in there for shard in shards)


def are_of_pool(folder: str, shards: Iterable[Shard]) -> bool:
    """Whether there is a table of each of these shards, or of the one that it is a copy of: the footers say so."""
    listed = storage.list_files(folder, ".parquet", recursive=True)
    there = {info.url: info for info in listed}
    urls = {table_url(folder, shard): shard for shard in shards}
    if not urls.keys() <= there.keys():
        return False
    return all(read_in_order(lambda url: _is_of(urls[url], there[url]), urls, _READERS))


def known_index(output_dir: str, shards: Sequence[Shard]) -> str:
    """The folder of the index tables of a pool, or of the one that it is a copy of; where they belong, if there are
    none.
    """
    own = index_folder(output_dir, shards)
    if has_all_tables(own, shards):
        return own
    others = (folder for folder in storage.list_folders(storage.parent(own)) if folder != own)
    return next((folder for folder in others if are_of_pool(folder, shards)), own)


def _is_of(shard: Shard, info: storage.FileInfo) -> bool:
    try:
        footer = read_listed_footer(info)
    except (ConfigError, NotFoundError):
        return False
    return is_version(shard, footer.size, footer.etag, footer.digest)


def rows_of_log(shard: Shard) -> ShardRows:
    """Read the rows from the log that img2dataset left beside the tar: its successes, in their order, are the samples.

    Raises UnusableLogError where there is none or it can't be of this tar.
    """
    url = _log_url(shard)
    try:
        table = read_parquet(url, ["status", "uid"])
        uids, is_uid = uids_of_column(table.filter(pc.equal(table["status"], SUCCESS))["uid"])
    except NotFoundError:
        raise UnusableLogError(f"there is no {url}") from None
    except MemoryError:
        raise
    except (ConfigError, ValueError, pa.ArrowException) as error:
        raise UnusableLogError(f"{url} can't be used ({error})") from error
    if not is_uid.all():
        raise UnusableLogError(f"{url} can't be used (a success without a uid of 32 hex digits)")
    if len(uids) * _SMALLEST_SAMPLE_BYTES > shard.size:
        raise UnusableLogError(f"{url} lists {len(uids):,} samples, more than its tar of {shard.size:,} bytes can hold")
    return ShardRows(uids["f0"], uids["f1"], np.ones(len(uids), dtype=bool))


def has_all_logs(shards: Iterable[Shard]) -> bool:
    wanted = {_log_url(shard) for shard in shards}
    folders = {storage.parent(url) for url in wanted}
    return wanted <= {info.url for folder in folders for info in storage.list_files(folder, ".parquet")}


def _log_url(shard: Shard) -> str:
    return shard.url.removesuffix(".tar") + ".parquet"
