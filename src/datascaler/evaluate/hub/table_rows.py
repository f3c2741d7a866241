"""A csv table and a zip of images, as data sets with a loading script have them on the hub."""

import csv
import io
import json
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from datascaler import storage
from datascaler.data.pool.tar import LARGEST_MEMBER_BYTES
from datascaler.data.pool.text_file import decode_text
from datascaler.errors import BadInputError, NotFoundError, first_line
from datascaler.safe_text import shown
from datascaler.tools.python_literals import parse_literal

_BLOCK_BYTES = 1 << 20
_JUNK = "__MACOSX/"
_COLUMNS = {"retrieval": ("filename", "raw"), "association": ("cue", "candidates", "associations")}


@dataclass(frozen=True, slots=True)
class TableFiles:
    table: str
    images: str
    """The zip; where there is none, the folder of its name without the suffix is taken."""


def table_rows(files: TableFiles, kind: str) -> Iterator[dict[str, Any]]:
    """Column -> value of each row, as the script would give it: image and caption, or a cue and its candidates.

    Raises BadInputError.
    """
    with ExitStack() as stack:
        images = _Images(files.images, stack)
        for number, row in enumerate(_records(files.table, kind)):
            where = f"{files.table}, row {number}"
            if kind == "retrieval":
                yield {"image": images.read(row["filename"], where), "caption": _list(row["raw"], where, "raw")}
                continue
            candidates = _list(row["candidates"], where, "candidates")
            yield {
                "cue": row["cue"],
                "candidates": candidates,
                "associations": _list(row["associations"], where, "associations"),
                "candidate_images": [images.read(f"{name}.jpg", where) for name in candidates],
            }


def _records(url: str, kind: str) -> Iterator[dict[str, str]]:
    lines = io.StringIO(decode_text(storage.read_bytes(url), url), newline="")
    reader = csv.DictReader(lines, strict=True)
    try:
        absent = [name for name in _COLUMNS[kind] if name not in (reader.fieldnames or ())]
        if absent:
            raise BadInputError(f"{url} has no column {', '.join(absent)}: it is not the table of this set")
        for row in reader:
            if any(row[name] is None for name in _COLUMNS[kind]):
                raise BadInputError(f"{url}, line {reader.line_num}: it is cut off; download it again")
            yield row
    except csv.Error as error:
        raise BadInputError(f"{url}, line {reader.line_num}: not csv ({error})") from error


def _list(text: str, where: str, what: str) -> list[str]:
    """The texts of a list that stands in a field, as JSON or as Python writes it."""
    for parse in (json.loads, parse_literal):
        try:
            found = parse(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
        if isinstance(found, list) and all(isinstance(each, str) for each in found):
            return found
    raise BadInputError(f"{where}: its {what} must be a list of texts, got {shown(text)}")


class _Images:
    """The images by the names of their files."""

    def __init__(self, url: str, stack: ExitStack) -> None:
        self._url = url
        self._zip: zipfile.ZipFile | None = None
        self._members: dict[str, str] = {}
        if storage.exists(url):
            file = stack.enter_context(storage.open_read(url, _BLOCK_BYTES))
            try:
                self._zip = stack.enter_context(zipfile.ZipFile(file))
            except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
                raise BadInputError(
                    f"{url}: no zip that can be read ({first_line(error)}); download it again"
                ) from error
            names = (name for name in self._zip.namelist() if not name.startswith(_JUNK))
            self._members = {PurePosixPath(name).name: name for name in names}

    def read(self, name: str, where: str) -> bytes:
        if self._zip is None:
            url = storage.join(self._url.removesuffix(".zip"), PurePosixPath(name).name)
            try:
                return storage.read_bytes(url)
            except NotFoundError as error:
                raise BadInputError(f"{where}: its image {url} is not there, nor {self._url}") from error
        if name not in self._members:
            raise BadInputError(f"{where}: its image {shown(name)} is not in {self._url}")
        try:
            info = self._zip.getinfo(self._members[name])
            if info.file_size > LARGEST_MEMBER_BYTES:
                raise BadInputError(f"{where}: its image {name} has {info.file_size:,} bytes")
            return self._zip.read(info)
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, zlib.error) as error:
            problem = f"{self._url}: {shown(name)} can't be read ({first_line(error)})"
            raise BadInputError(f"{problem}; download it again") from error
