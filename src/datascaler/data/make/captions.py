"""A captions table: csv, tsv, jsonl or parquet rows that name an image file and what it shows. Read as a stream."""

import csv
import io
import json
import math
import posixpath
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from datascaler import storage
from datascaler.data.pool.parquet import rows_at_once
from datascaler.errors import ConfigError, first_line
from datascaler.safe_text import shown
from datascaler.tools.python_literals import parse_literal

_LONGEST_FIELD = 1 << 30
"""Captions of a million characters occur; Python's csv stops at 131,072 unless told otherwise."""

_ROWS_AT_A_TIME = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptionColumns:
    """What the table calls its columns. `url` and `uid` may be absent from it."""

    file: str = "file"
    caption: str = "caption"
    url: str = "url"
    uid: str = "uid"


@dataclass(frozen=True, slots=True)
class CaptionRow:
    file: str
    caption: str | None
    url: str
    """Empty where the table has none."""
    uid: str
    """Empty where the table has none."""


class CaptionTable:
    """Checked once from end to end when it is opened, so that a malformed line is found before the work."""

    def __init__(
        self,
        url: str,
        columns: CaptionColumns | None = None,
        delimiter: str | None = None,
        *,
        several: bool = False,
    ) -> None:
        """`delimiter` is what stands between the fields of a text table; None goes by the file's name.

        several: a list of captions, in parquet, JSON, or a field that holds one as JSON, is a row for each of them;
        otherwise a list is refused.
        """
        self.url = url
        self._several = several
        self.columns = columns or CaptionColumns()
        self._read = _reader(url, delimiter)
        self.rows = sum(1 for _ in self)
        if not self.rows:
            raise ConfigError(f"{url} has no rows: it needs one row an image, with columns file and caption")

    def __iter__(self) -> Iterator[CaptionRow]:
        names = self.columns
        for row in self._read(self.url, (names.file, names.caption)):
            file, url, uid = (self._text(row, name) or "" for name in (names.file, names.url, names.uid))
            for caption in self._captions(row):
                yield CaptionRow(file=file, caption=caption, url=url, uid=uid)

    def _captions(self, row: dict[str, Any]) -> list[str | None]:
        """What the row says that its image shows: once, or several times where that is asked for."""
        value = row.get(self.columns.caption)
        if self._several and isinstance(value, str) and value.startswith("["):
            value = self._list_in(value)
        if self._several and isinstance(value, list):
            return [self._text({self.columns.caption: each}, self.columns.caption) for each in value] or [None]
        return [self._text(row, self.columns.caption)]

    def _list_in(self, text: str) -> str | list[Any]:
        """The list that a text writes, as JSON or as Python does; the text itself where it is no list."""
        with suppress(ValueError, RecursionError):
            parsed = json.loads(text)
            return parsed if not parsed or any(isinstance(each, str) for each in parsed) else text
        with suppress(ValueError, SyntaxError, MemoryError, RecursionError):
            parsed = parse_literal(text)
            # What numpy writes has no commas, and Python would make one text of its texts.
            if isinstance(parsed, list) and repr(parsed) == text:
                return parsed
        if text.startswith(("['", '["')) and text.rstrip().endswith(("']", '"]')):
            raise ConfigError(
                f"{self.url}: column {self.columns.caption!r} holds a list that can't be read, {shown(text)}: write it "
                "as JSON, or a row a caption"
            )
        return text

    def _text(self, row: dict[str, Any], name: str) -> str | None:
        """The text of a field. Numbers are written as Python does; what is no number is nothing."""
        value = row.get(name)
        if value is None or (isinstance(value, float) and not math.isfinite(value)):
            return None
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            return str(value)
        remedy = "a row a caption" if isinstance(value, list) else "text"
        raise ConfigError(f"{self.url}: column {name!r} must hold {remedy}, got {shown(value)}")


_Read = Callable[[str, tuple[str, str]], Iterator[dict[str, Any]]]
"""Called with the URL and the names of the two columns that must be there: the file's, and the caption's."""


def _reader(url: str, delimiter: str | None) -> _Read:
    name = url.lower()
    if name.endswith((".csv", ".tsv")):
        return partial(_read_csv, delimiter=_delimiter(delimiter or ("\t" if name.endswith(".tsv") else ",")))
    readers = {".jsonl": _read_jsonl, ".parquet": _read_parquet}
    for suffix, read in readers.items():
        if name.endswith(suffix):
            if delimiter:
                raise ConfigError(f"a delimiter is for .csv and .tsv files: leave it out for {url}")
            return read
    raise ConfigError(f"captions must be a .csv, .tsv, .jsonl or .parquet file, got {url}")


def _delimiter(given: str) -> str:
    delimiter = {"\\t": "\t", "tab": "\t"}.get(given.lower(), given)
    if len(delimiter) != 1 or delimiter in '"\r\n':
        raise ConfigError(f"a delimiter is one character, or \\t for a tab, got {given!r}")
    return delimiter


def _read_csv(url: str, needed: tuple[str, str], delimiter: str) -> Iterator[dict[str, Any]]:
    # Undecodable bytes arrive as lone surrogates: a bad caption is a failed row, not the end of the table.
    with (
        _long_fields(),
        storage.open_read(url) as file,
        io.TextIOWrapper(file, "utf-8-sig", "surrogateescape", newline="") as lines,
    ):
        # Strict: a quote that is never closed would otherwise make one caption of all rows after it.
        _refuse_utf16(url, file)
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        first = 1
        try:
            names = next(reader, [])
            _require(url, needed, names)
            if twice := next((name for name in needed if names.count(name) > 1), ""):
                raise ConfigError(f"{url} has two columns {twice!r}: rename one")
            file_column, first = names.index(needed[0]), reader.line_num + 1
            for fields in reader:
                if fault := _csv_fault(first, fields, names, file_column, delimiter):
                    raise ConfigError(f"{url}, line {first}: {fault}")
                if fields:
                    yield dict(zip(names, fields, strict=False))
                first = reader.line_num + 1
        except csv.Error as error:
            opened = f"; the row begins in line {first}" if reader.line_num > first else ""
            raise ConfigError(f"{url}, line {reader.line_num}: not csv ({error}){opened}") from error


def _csv_fault(first: int, fields: Sequence[str], names: Sequence[str], file: int, delimiter: str) -> str:
    """Why a row that can be parsed is not what was meant; empty where it may be. It begins in line `first`, and `file`
    is the column of the image.
    """
    if len(fields) > len(names):
        return (
            f"{len(fields)} fields, the header has {len(names)}: a caption with {delimiter!r} in it must stand in "
            "quotes (or choose another --delimiter)"
        )
    suffix = posixpath.splitext(fields[file].split("\n")[0])[1] if len(fields) > file else ""
    for field in fields:
        for line, text in enumerate(field.splitlines()[1:] if suffix else (), first + 1):
            parts = text.split(delimiter)
            if len(parts) >= len(names) and parts[file].strip('"').endswith(suffix):
                return (
                    f"a quote is opened there and closed in line {first + len(field.splitlines()) - 1}, and line "
                    f"{line} between them begins as a row, with {parts[file]!r}: close the quote, or double one that "
                    "means itself"
                )
    return ""


@contextmanager
def _long_fields() -> Iterator[None]:
    """The limit is the whole process's, so it is as before afterwards."""
    before = csv.field_size_limit(_LONGEST_FIELD)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _read_jsonl(url: str, needed: tuple[str, str]) -> Iterator[dict[str, Any]]:
    with storage.open_read(url) as file:
        _refuse_utf16(url, file)
        first = True
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8", "surrogateescape"))
            except (ValueError, RecursionError) as error:
                raise ConfigError(f"{url}, line {number}: not valid JSON ({error})") from error
            if not isinstance(row, dict):
                raise ConfigError(f"{url}, line {number}: a JSON object is needed, got {type(row).__name__}")
            if first:
                _require(url, needed, list(row))
            first = False
            yield row


def _refuse_utf16(url: str, file: IO[bytes]) -> None:
    if file.read(2) in (BOM_UTF16_LE, BOM_UTF16_BE):
        raise ConfigError(f'{url} is UTF-16, which spreadsheets call "Unicode text": save it as UTF-8')
    file.seek(0)


def _read_parquet(url: str, needed: tuple[str, str]) -> Iterator[dict[str, Any]]:
    with storage.open_read(url) as file:
        try:
            table = pq.ParquetFile(file, page_checksum_verification=True)
            _require(url, needed, table.schema_arrow.names)
            rows = rows_at_once(table, file, file.seek(0, io.SEEK_END))
            read = 0
            for batch in table.iter_batches(min(rows, _ROWS_AT_A_TIME), use_threads=False):
                read += batch.num_rows
                yield from batch.to_pylist()
            if read != table.metadata.num_rows:
                raise ValueError(f"it holds {read:,} of the {table.metadata.num_rows:,} rows that it announces")
        except MemoryError:
            raise
        except (pa.ArrowException, OSError, ValueError) as error:
            raise ConfigError(f"{url}: not a parquet file ({first_line(error)})") from error


def _require(url: str, needed: tuple[str, ...], found: list[str]) -> None:
    for name in needed:
        if name not in found:
            other = next((each for each in ";\t|," if len(found) == 1 and each in found[0]), None)
            hint = f", or its --delimiter ({other!r})" if other else ""
            raise ConfigError(
                f"{url} has no column {name!r} (it has: {', '.join(found) or 'none'}); "
                f"name the columns with --file-column and --caption-column{hint}"
            )
