"""Sets that are stored as a table beside their images, read as the hub's libraries and downloads leave them.

FOLDER/NAME/{TABLE.csv, IMAGES.zip}                          as the data set has them; the zip may be unpacked
FOLDER/hf_cache/OWNER___NAME/**/NAME-test*.arrow             as DataComp's download_evalsets.py leaves them
FOLDER/hf_cache/downloads/{HASH, HASH.json}                  the same files as above, where the script went no further
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from datascaler import storage
from datascaler.errors import BadInputError, ConfigError, NotFoundError
from datascaler.evaluate.hub.arrow_rows import arrow_files, arrow_rows, has_arrow_files
from datascaler.evaluate.hub.homes import TABLE_SETS, TableSet
from datascaler.evaluate.hub.table_rows import TableFiles, table_rows
from datascaler.safe_text import shown

CACHE = "hf_cache"
"""The folder that DataComp's download gives to the hub's library."""
STORED_FOLDERS = {CACHE, *(tables.name for tables in TABLE_SETS.values())}
"""The folders, beside those of DataComp's layout, that sets of DataComp's tasks may lie in."""


@dataclass(frozen=True, slots=True)
class StoredRow:
    """An item of such a set: an image with its captions, or a cue and its candidates."""

    key: str
    images: tuple[bytes, ...]
    captions: tuple[str, ...] = ()
    cue: str = ""
    goes: tuple[bool, ...] = ()
    """Which of the images go with the cue."""


@dataclass(frozen=True, slots=True)
class StoredSet:
    kind: Literal["retrieval", "association"]
    files: tuple[storage.FileInfo, ...]
    """Those that hold it."""
    records: Callable[[], Iterator[dict[str, Any]]]
    """Column -> value of its rows, in their order; images are bytes."""

    def rows(self) -> Iterator[StoredRow]:
        url = self.files[0].url
        for number, record in enumerate(self.records()):
            key, where = f"s{number:07d}", f"{url}, row {number}"
            if self.kind == "retrieval":
                captions = tuple(caption.strip() for caption in _texts(record.get("caption"), where, "captions"))
                if not any(captions):
                    raise BadInputError(f"{where}: it has no caption")
                yield StoredRow(key, (_image(record.get("image"), where),), captions=captions)
                continue
            candidates = _texts(record.get("candidates"), where, "candidates")
            associations = _texts(record.get("associations"), where, "associations")
            images = record.get("candidate_images")
            if not isinstance(images, list) or len(images) != len(candidates):
                raise BadInputError(f"{where}: it needs an image for each of its {len(candidates)} candidates")
            cue, goes = record.get("cue"), tuple(name in associations for name in candidates)
            if not isinstance(cue, str) or not cue.strip() or not any(goes):
                raise BadInputError(f"{where}: it needs a cue, and candidates that go with it; cue {shown(cue)}")
            yield StoredRow(key, tuple(_image(image, where) for image in images), cue=cue.strip(), goes=goes)


def stored_folder(data_dir: str, task: str) -> str | None:
    """Where the set of such a task lies below `data_dir`; None if it is not there, or the task is another."""
    tables = TABLE_SETS.get(task)
    if tables is None:
        return None
    folder = storage.join(data_dir, tables.name)
    if storage.exists(storage.join(folder, tables.table)):
        return folder
    cache = storage.join(data_dir, CACHE)
    for each in storage.list_folders(cache):
        if storage.basename(each).lower().endswith(f"___{tables.name}") and has_arrow_files(each, tables.name):
            return each
    return cache if tables.table in _downloads(cache) else None


def open_stored(folder: str, tables: TableSet) -> StoredSet:
    """The set in a folder that `stored_folder` found."""
    arrow = arrow_files(folder, tables.name)
    if arrow:
        records = partial(arrow_rows, arrow, storage.parent(folder), tables.kind)
        return StoredSet(tables.kind, tuple(arrow), records)
    places = _downloads(folder)
    table = places.get(tables.table) or storage.join(folder, tables.table)
    images = places.get(tables.images) or storage.join(folder, tables.images)
    try:
        infos = [storage.stat(table)]
    except NotFoundError as error:
        raise ConfigError(f"{table}: not found; the evaluation set is not complete: download it again") from error
    if storage.exists(images):
        infos.append(storage.stat(images))
    return StoredSet(tables.kind, tuple(infos), partial(table_rows, TableFiles(table, images), tables.kind))


def _downloads(cache: str) -> dict[str, str]:
    """Name of a file on the hub -> where the library keeps it, by the notes that it leaves beside."""
    found = {}
    for info in storage.list_files(storage.join(cache, "downloads"), ".json"):
        try:
            note = storage.read_json(info.url)
        except ConfigError:
            continue
        url, content = note.get("url") if isinstance(note, dict) else None, info.url.removesuffix(".json")
        if isinstance(url, str) and storage.exists(content):
            found[storage.basename(url.partition("?")[0])] = content
    return found


def _texts(value: Any, where: str, what: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise BadInputError(f"{where}: its {what} must be a list of texts, got {shown(value)}")
    return value


def _image(value: Any, where: str) -> bytes:
    if not isinstance(value, bytes):
        raise BadInputError(f"{where}: its image must be bytes, got {shown(value)}")
    return value
