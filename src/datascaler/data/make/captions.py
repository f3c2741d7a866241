"""A captions table: csv, jsonl or parquet rows that name an image file and what it shows. Read as a stream."""

import csv
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from datascaler import storage
from datascaler.errors import ConfigError, first_line

_LONGEST_FIELD = 1 << 30
"""Captions of a million characters occur; Python's csv stops at 131,072 unless told otherwise."""


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

    def __init__(self, url: str, columns: CaptionColumns | None = None) -> None:
        self.url = url
        self.columns = columns or CaptionColumns()
        self._read = _reader(url)
        self.rows = sum(1 for _ in self)
        if not self.rows:
            raise ConfigError(f"{url} has no rows: it needs one row an image, with columns file and caption")

    def __iter__(self) -> Iterator[CaptionRow]:
        names = self.columns
        for row in self._read(self.url, (names.file, names.caption)):
            yield CaptionRow(
                file=_text(row.get(names.file)) or "",
                caption=_text(row.get(names.caption)),
                url=_text(row.get(names.url)) or "",
                uid=_text(row.get(names.uid)) or "",
            )


def _reader(url: str) -> Any:
    readers = {".csv": _read_csv, ".jsonl": _read_jsonl, ".parquet": _read_parquet}
    for suffix, read in readers.items():
        if url.lower().endswith(suffix):
            return read
    raise ConfigError(f"captions must be a .csv, .jsonl or .parquet file, got {url}")


def _read_csv(url: str, needed: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    # Undecodable bytes arrive as lone surrogates: a bad caption is a failed row, not the end of the table.
    with (
        _long_fields(),
        storage.open_read(url) as file,
        io.TextIOWrapper(file, "utf-8-sig", "surrogateescape", newline="") as lines,
    ):
        # Strict: a quote that is never closed would otherwise make one caption of all rows after it.
        reader = csv.DictReader(lines, strict=True)
        _require(url, needed, list(reader.fieldnames or []))
        try:
            yield from reader
        except csv.Error as error:
            raise ConfigError(f"{url}, line {reader.reader.line_num}: not csv ({error})") from error


@contextmanager
def _long_fields() -> Iterator[None]:
    """The limit is the whole process's, so it is as before afterwards."""
    before = csv.field_size_limit(_LONGEST_FIELD)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _read_jsonl(url: str, needed: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    with storage.open_read(url) as file:
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


def _read_parquet(url: str, needed: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    with storage.open_read(url) as file:
        try:
            table = pq.ParquetFile(file, page_checksum_verification=True)
            _require(url, needed, table.schema_arrow.names)
            for batch in table.iter_batches(use_threads=False):
                yield from batch.to_pylist()
        except MemoryError:
            raise
        except (pa.ArrowException, OSError, ValueError) as error:
            raise ConfigError(f"{url}: not a parquet file ({first_line(error)})") from error


def _require(url: str, needed: tuple[str, ...], found: list[str]) -> None:
    for name in needed:
        if name not in found:
            raise ConfigError(
                f"{url} has no column {name!r} (it has: {', '.join(found) or 'none'}); "
                f"name the columns with --file-column and --caption-column"
            )


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
