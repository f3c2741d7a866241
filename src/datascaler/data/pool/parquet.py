"""Parquet files as tables in memory.

`pyarrow.parquet.read_table` goes through pyarrow's dataset threads, which can abort the interpreter at exit on a busy
machine (seen with pyarrow 19 to 26: "terminate called without an active exception"). `ParquetFile` does not.
"""

import io
from collections.abc import Sequence
from typing import IO, Any
from zlib import crc32

import pyarrow as pa
import pyarrow.parquet as pq

from datascaler import storage
from datascaler.data.pool.parquet_pages import repeated_row_bytes
from datascaler.errors import ConfigError, DamagedError, first_line

_END_BYTES = 16 << 10
"""Holds the footer of a table with a dozen columns and one row group, several times."""
_SPARE_BYTES, _MOST_TIMES = 128 << 20, 64
"""How much a table may take in memory: this, or so many times what its file has."""
_CHECKSUM, _BLANK = b"datascaler.crc32", b"00000000"
"""A key of the footer and its value while the checksum is taken, which is of the whole file, footer and all."""
_MARK = _CHECKSUM + b"\x18\x08"
"""What precedes the value: parquet's words for "a text of 8 bytes"."""


def encode_parquet(table: pa.Table, **options: Any) -> bytes:
    """A file whose every bit is covered: by checksums of its pages, for all who know parquet, and by one of our own."""
    metadata = {**(table.schema.metadata or {}), _CHECKSUM: _BLANK}
    buffer = io.BytesIO()
    pq.write_table(table.replace_schema_metadata(metadata), buffer, write_page_checksum=True, **options)
    content = buffer.getvalue()
    at = content.rindex(_MARK) + len(_MARK)
    return content[:at] + f"{_crc32_without(content, at):08x}".encode() + content[at + len(_BLANK) :]


def read_parquet(url: str, columns: Sequence[str] | None = None, dictionaries: Sequence[str] = ()) -> pa.Table:
    """The named columns, or all. Raises ConfigError for a file that is not parquet or lacks a column.

    String columns named in `dictionaries` come as codes and their few values, which is several times faster.
    """
    return decode_parquet(storage.read_bytes(url), url, columns, dictionaries)


def read_parquet_schema(url: str) -> pa.Schema:
    """The columns and the footer's metadata, from the end of the file alone."""
    try:
        with storage.translated_errors(url), storage.open_read(url, block_bytes=1 << 20) as file:
            try:
                return pq.read_schema(file)
            except OSError as error:
                if error.errno is not None:
                    raise
                raise ValueError(str(error)) from error  # pyarrow's own, of damage inside the file
    except MemoryError:  # pyarrow's own is an ArrowException too
        raise
    except (pa.ArrowException, ValueError) as error:  # a name that is no text is a ValueError
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
    except MemoryError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ConfigError(f"{url} is not a readable parquet file ({error})") from error


def decode_parquet(
    content: bytes, name: str, columns: Sequence[str] | None = None, dictionaries: Sequence[str] = ()
) -> pa.Table:
    _require_checksum(content, name)
    source, options = pa.BufferReader(content), {"read_dictionary": list(dictionaries)}
    try:
        with pq.ParquetFile(source, page_checksum_verification=True, **options) as file:
            names = file.schema_arrow.names
            for column in columns or ():
                if names.count(column) != 1:
                    there = "several columns" if column in names else "no column"
                    raise ConfigError(f"{name} has {there} {column!r}; it has {names}")
            kinds = [each.type for each in file.schema_arrow if columns is None or each.name in columns]
            _require_plausible(file.metadata.num_rows, kinds, len(content))
            table = _read_within(file, source, len(content), columns, dictionaries)
            if table.num_rows != file.metadata.num_rows:  # a page of an unknown kind is passed over without a word
                raise ValueError(
                    f"it holds {table.num_rows:,} of the {file.metadata.num_rows:,} rows that it announces"
                )
            return table
    except MemoryError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:  # damage inside the file is an OSError to pyarrow
        raise ConfigError(f"{name} is not a readable parquet file ({error})") from error


def rows_at_once(
    file: pq.ParquetFile, source: IO[bytes], size: int, columns: Sequence[str] | None = None, coded: Sequence[str] = ()
) -> int:
    """How many rows of a file of `size` bytes may be read in one step, whatever values they repeat.

    Raises ValueError where the pages hold more than a file of this size is trusted with.
    """
    return _SPARE_BYTES // max(1, repeated_row_bytes(file, source, columns, coded, _most_bytes(size))) or 1


def _read_within(
    file: pq.ParquetFile, source: IO[bytes], size: int, columns: Sequence[str] | None, dictionaries: Sequence[str]
) -> pa.Table:
    names = None if columns is None else list(columns)
    rows = rows_at_once(file, source, size, names, dictionaries)
    if rows >= file.metadata.num_rows:
        return file.read(names, use_threads=False)
    batches, total, limit = [], 0, _most_bytes(size)
    for batch in file.iter_batches(rows, columns=names, use_threads=False):
        total += batch.nbytes
        if total > limit:
            raise ValueError(f"its values take more than {limit:,} bytes, the most that is read of a file this small")
        batches.append(batch)
    return pa.Table.from_batches(batches)


def _most_bytes(size: int) -> int:
    """How much a table may take in memory whose file has `size` bytes."""
    return max(_SPARE_BYTES, _MOST_TIMES * size)


def cast_column(table: pa.Table, column: str, kind: pa.DataType, name: str, *, safe: bool = True) -> pa.ChunkedArray:
    """The column as what it is read as, in a file that somebody else wrote. Raises ConfigError where it can't be."""
    try:
        return table[column].cast(kind, safe=safe)
    except pa.ArrowException as error:
        raise ConfigError(
            f"{name}: column {column!r} is {table[column].type} and can't be read as {kind} ({first_line(error)})"
        ) from error


def _require_plausible(rows: int, kinds: Sequence[pa.DataType], size: int) -> None:
    """Raise ValueError where the rows are too many for a file of this size: a few bytes may stand for any number."""
    if rows * max(1, sum(map(_width, kinds))) > _most_bytes(size):
        raise ValueError(f"it announces {rows:,} rows, in {size:,} bytes")


def _width(kind: pa.DataType) -> int:
    """Bytes that a value takes at least, or a value's place where it has one elsewhere."""
    try:
        return -(-int(kind.bit_width) // 8)
    except ValueError:  # texts, lists and others of any length
        return 4


def _require_checksum(content: bytes, name: str) -> None:
    """Only what we wrote has one."""
    at = content.rfind(_MARK) + len(_MARK)
    if at >= len(_MARK) and content[at : at + len(_BLANK)] != f"{_crc32_without(content, at):08x}".encode():
        raise DamagedError(
            f"{name} is not a readable parquet file (damaged: its content does not fit its checksum): "
            "remove it to have it made anew, or restore it from a copy"
        )


def _crc32_without(content: bytes, at: int) -> int:
    """The checksum of the content while the checksum in it is blank."""
    view = memoryview(content)
    return crc32(view[at + len(_BLANK) :], crc32(_BLANK, crc32(view[:at])))
