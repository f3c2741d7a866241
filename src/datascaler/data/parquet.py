"""Parquet files as tables in memory.

`pyarrow.parquet.read_table` goes through pyarrow's dataset threads, which can abort the interpreter at exit on a busy
machine (seen with pyarrow 19 to 26: "terminate called without an active exception"). `ParquetFile` does not.
"""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from datascaler import storage
from datascaler.errors import ConfigError

_END_BYTES = 16 << 10
"""Holds the footer of a table with a dozen columns and one row group, several times."""


def read_parquet(url: str, columns: Sequence[str] | None = None, dictionaries: Sequence[str] = ()) -> pa.Table:
    """The named columns, or all. Raises ConfigError for a file that is not parquet or lacks a column.

    String columns named in `dictionaries` come as codes and their few values, which is several times faster.
    """
    return decode_parquet(storage.read_bytes(url), url, columns, dictionaries)


def read_parquet_schema(url: str) -> pa.Schema:
    """The columns and the footer's metadata, from the end of the file alone."""
    try:
        with storage.translated_errors(url), storage.open_read(url, block_bytes=1 << 20) as file:
            return pq.read_schema(file)
    except pa.ArrowException as error:
        raise ConfigError(f"{url} is not a readable parquet file ({error})") from error


def read_parquet_end(url: str, size: int) -> pa.Schema:
    """The same, of a file whose size a listing told: one small request, for those who read thousands."""
    start = max(0, size - _END_BYTES)
    end = storage.read_bytes(url, start, size)
    # The last 8 bytes: the footer's length, and the magic "PAR1".
    length = int.from_bytes(end[-8:-4], "little") + 8
    if len(end) < length <= size:
        end = storage.read_bytes(url, size - length, size)
    try:
        return pq.read_schema(pa.BufferReader(end))
    except (pa.ArrowException, OSError) as error:
        raise ConfigError(f"{url} is not a readable parquet file ({error})") from error


def decode_parquet(
    content: bytes, name: str, columns: Sequence[str] | None = None, dictionaries: Sequence[str] = ()
) -> pa.Table:
    try:
        with pq.ParquetFile(pa.BufferReader(content), read_dictionary=list(dictionaries)) as file:
            missing = set(columns or ()) - set(file.schema_arrow.names)
            if missing:
                raise ConfigError(f"{name} has no column {sorted(missing)[0]!r}; it has {file.schema_arrow.names}")
            return file.read(columns=None if columns is None else list(columns), use_threads=False)
    except (pa.ArrowException, OSError) as error:  # damage inside the file is an OSError to pyarrow
        raise ConfigError(f"{name} is not a readable parquet file ({error})") from error
