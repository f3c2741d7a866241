"""Subsets as `.parquet`: columns uid_high and uid_low, or on reading `uid` in hex, as DataComp's metadata has it."""

from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from datascaler.data.pool.hex_uids import uids_of_column
from datascaler.data.pool.parquet import read_parquet, read_parquet_schema
from datascaler.data.pool.uids import UID_DTYPE, uid_pairs
from datascaler.errors import ConfigError
from datascaler.safe_text import shown

_HALVES = ("uid_high", "uid_low")
_HEX = "uid"
_ROWS_AT_A_TIME = 1 << 20


def write_parquet(file: IO[bytes], uids: NDArray[np.void]) -> None:
    schema = pa.schema([(name, pa.uint64()) for name in _HALVES])
    with pq.ParquetWriter(file, schema, compression="zstd", use_dictionary=False, write_page_checksum=True) as writer:
        for first in range(0, len(uids), _ROWS_AT_A_TIME):
            rows = uids[first : first + _ROWS_AT_A_TIME]
            writer.write_table(pa.table([np.ascontiguousarray(rows[name]) for name in ("f0", "f1")], schema=schema))


def read_uid_parquet(url: str) -> NDArray[np.void]:
    names = read_parquet_schema(url).names
    if set(_HALVES) <= set(names):
        return _from_halves(read_parquet(url, _HALVES))
    if _HEX in names:
        return _from_hex(read_parquet(url, [_HEX])[_HEX])
    raise ConfigError(f"expected the columns uid_high and uid_low, or uid; found {', '.join(names) or 'none'}")


def _from_halves(table: pa.Table) -> NDArray[np.void]:
    for name in _HALVES:
        column = table[name]
        if column.type != pa.uint64():
            raise ConfigError(f"column {name} is {column.type}, not uint64")
        if column.null_count:
            raise ConfigError(f"column {name} has {column.null_count:,} nulls")
    return uid_pairs(*(table[name].to_numpy() for name in _HALVES))


def _from_hex(column: pa.ChunkedArray) -> NDArray[np.void]:
    if column.null_count:
        raise ConfigError(f"column {_HEX} has {column.null_count:,} nulls")
    parts, row = [np.empty(0, UID_DTYPE)], 0
    for chunk in column.chunks:
        try:
            uids, is_uid = uids_of_column(pa.chunked_array([chunk]))
        except pa.ArrowException as error:
            raise ConfigError(f"column {_HEX} holds other things than uids of 32 hex digits ({error})") from error
        if not is_uid.all():
            wrong = int(is_uid.argmin())
            raise ConfigError(f"row {row + wrong} is not a uid of 32 hex digits: {shown(chunk[wrong].as_py())}")
        parts.append(uids)
        row += len(chunk)
    return np.concatenate(parts)
