"""How much memory the pages of a parquet file ask for, told by their headers before one is decompressed.

A page of a few kilobytes may stand for two gigabytes, and a value that is written once, in a dictionary or as the start
of the next one, for as many copies as there are rows. The footer's sums are only what the writer claims, while a reader
allocates what the headers say. Parquet's format (parquet.thrift): a header precedes each page, a struct in Thrift's
compact protocol.
"""

from collections.abc import Container, Iterator, Sequence
from typing import IO

import pyarrow.parquet as pq

_HEADER_BYTES, _LONGEST_HEADER = 4 << 10, 16 << 20
"""What holds a header, unless its statistics are long, and what holds any."""
_DEEPEST = 8
"""Structs within one another; the format's own headers have three."""
_INTEGERS, _BINARY, _STRUCT = (4, 5, 6), 8, 12
_OTHER_LENGTHS = {1: 0, 2: 0, 3: 1, 7: 8}
"""Thrift's types: integers, texts, structs, and the bytes that others take; a boolean's type is its value."""
_UNCOMPRESSED, _COMPRESSED = (2,), (3,)
_VALUES = (5, 1), (8, 1)
_ENCODINGS = (5, 2), (8, 4)
"""Where a header has what is asked: the page's sizes; the count of values and their encoding, in both data pages."""
_REPEATING = 2, 7, 8
"""Encodings that write a value, or its start, once: PLAIN_DICTIONARY, DELTA_BYTE_ARRAY and RLE_DICTIONARY."""
_OF_ANY_LENGTH = "BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY"
_LEAST_VALUE_BYTES = 4
"""What a value takes in memory at least, where its page may hold it in no bytes at all; or its place does."""


def repeated_row_bytes(
    file: pq.ParquetFile, source: IO[bytes], columns: Sequence[str] | None, coded: Container[str], limit: int
) -> int:
    """How many bytes a row of the named columns, or of all, may take by values that the file holds once: 0 if by none.

    `source` is what `file` reads from; columns named in `coded` are read as codes, so that they stay as they are in the
    file. Rows of lists are taken to be equally long. Raises ValueError for a header that is none, and where the pages
    themselves take more than `limit` bytes.
    """
    total = row_bytes = 0
    for place in range(file.metadata.num_columns):
        column = file.schema.column(place)
        name = column.path.split(".")[0]
        if columns is not None and name not in columns:
            continue
        largest = values = 0
        repeats = False
        for header in _page_headers(file.metadata, place, source):
            count = sum(header.get(field, 0) for field in _VALUES)
            repeats |= any(header.get(field) in _REPEATING for field in _ENCODINGS)
            largest, values = max(largest, header[_UNCOMPRESSED]), values + count
            total += max(header[_UNCOMPRESSED], count * _LEAST_VALUE_BYTES)
            if total > limit:
                raise ValueError(
                    f"its pages hold more than {limit:,} bytes, the most that is read of a file this small"
                )
        if repeats and column.physical_type in _OF_ANY_LENGTH and name not in coded:
            row_bytes += largest * -(-values // max(1, file.metadata.num_rows))
    return row_bytes


def _page_headers(metadata: pq.FileMetaData, column: int, source: IO[bytes]) -> Iterator[dict[tuple[int, ...], int]]:
    """The integers in each header of a column's pages, by their fields' numbers from the outermost struct inwards."""
    for group in range(metadata.num_row_groups):
        chunk = metadata.row_group(group).column(column)
        if not chunk.num_values:  # it may have no pages, and its offset be anything
            continue
        at = min(chunk.data_page_offset, chunk.dictionary_page_offset or chunk.data_page_offset)
        end = at + chunk.total_compressed_size
        while at < end:
            header, length = _read_header(source, at)
            sizes = header.get(_UNCOMPRESSED, -1), header.get(_COMPRESSED, -1)
            if min(sizes) < 0:
                raise ValueError(f"the page at byte {at:,} has sizes that can't be: {sizes}")
            yield header
            at += length + sizes[1]


def _read_header(source: IO[bytes], at: int) -> tuple[dict[tuple[int, ...], int], int]:
    taken = _HEADER_BYTES
    while True:
        source.seek(at)
        content = source.read(taken)
        found: dict[tuple[int, ...], int] = {}
        try:
            return found, _read_struct(content, 0, found, ())
        except IndexError as error:
            if len(content) < taken or taken >= _LONGEST_HEADER:
                raise ValueError(f"the page at byte {at:,} has no header that can be read") from error
            taken *= 8


def _read_struct(content: bytes, at: int, found: dict[tuple[int, ...], int], path: tuple[int, ...]) -> int:
    """Put the integers of the struct that begins there into `found`, and those of structs in it; returns where it ends.

    In Thrift's compact protocol. Raises IndexError behind the end of the content.
    """
    if len(path) > _DEEPEST:
        raise ValueError("a page's header has structs within structs without end")
    field = 0
    while first := content[at]:
        kind, step = first & 15, first >> 4
        at += 1
        if step:
            field += step
        else:
            coded, at = _varint(content, at)
            field = _signed(coded)
        if kind in _INTEGERS:
            coded, at = _varint(content, at)
            found[(*path, field)] = _signed(coded)
        elif kind == _STRUCT:
            at = _read_struct(content, at, found, (*path, field))
        elif kind == _BINARY:
            length, at = _varint(content, at)
            at += length
        elif kind in _OTHER_LENGTHS:
            at += _OTHER_LENGTHS[kind]
        else:
            raise ValueError(f"a page's header has a field of Thrift's type {kind}, which the format has not")
    return at + 1


def _varint(content: bytes, at: int) -> tuple[int, int]:
    """The number that begins there, seven bits a byte, and where it ends."""
    value = content[at]
    if value < 128:  # as most are
        return value, at + 1
    value &= 127
    for shift in range(7, 64, 7):
        at += 1
        byte = content[at]
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at + 1
    raise ValueError("a page's header has a number of more than 64 bits")


def _signed(coded: int) -> int:
    return coded >> 1 ^ -(coded & 1)
