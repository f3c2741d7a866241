"""Arrow files as the hub's `datasets` library caches a split: a stream of batches, with images or their paths."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from datascaler import storage
from datascaler.errors import BadInputError, ConfigError, NotFoundError, first_line
from datascaler.safe_text import shown

_PART = re.compile(r"-test(?:-([0-9]{5})-of-([0-9]{5}))?\.arrow")
_INFO = "dataset_info.json"


def arrow_files(folder: str, name: str) -> list[storage.FileInfo]:
    """The files of a data set's test split, in order; none where there is none.

    Raises ConfigError where there are two versions of it, or parts are missing.
    """
    found = _parts(folder, name)
    if len(found) > 1:
        raise ConfigError(f"{folder} holds {name} in several versions ({', '.join(sorted(found))}): remove all but one")
    for parent, parts in found.items():
        announced = max(of for _, of in parts)
        there = {number: info for (number, _), info in parts.items()}
        if sorted(there) != list(range(announced)):
            raise ConfigError(f"{parent} holds {len(there)} of {announced} parts of {name}: download it again")
        return [there[number] for number in range(announced)]
    return []


def has_arrow_files(folder: str, name: str) -> bool:
    """Whether there is anything of the test split, be it whole or not."""
    return bool(_parts(folder, name))


def _parts(folder: str, name: str) -> dict[str, dict[tuple[int, int], storage.FileInfo]]:
    """Folder of a version -> (number, of how many) -> part."""
    found: dict[str, dict[tuple[int, int], storage.FileInfo]] = {}
    for info in storage.list_files(folder, ".arrow", recursive=True):
        file, parent = storage.basename(info.url), storage.parent(info.url)
        part = _PART.fullmatch(file.removeprefix(name)) if file.startswith(name) else None
        # A folder whose preparation was broken off keeps this name.
        if part and not parent.endswith(".incomplete"):
            found.setdefault(parent, {})[int(part[1] or 0), int(part[2] or 1)] = info
    return found


def arrow_rows(files: Sequence[storage.FileInfo], cache: str, kind: str) -> Iterator[dict[str, Any]]:
    """Column -> value of each row. Images are read, those that lie in `cache` too.

    Raises BadInputError for a file that is damaged, or holds fewer rows than are recorded beside it.
    """
    column = "image" if kind == "retrieval" else "candidate_images"
    count = 0
    for info in files:
        for row in _rows(info.url):
            where = f"{info.url}, row {count}"
            value = row.get(column)
            images = [_content(each, cache, where) for each in (value if isinstance(value, list) else [value])]
            yield {**row, column: images if isinstance(value, list) else images[0]}
            count += 1
    expected = _recorded(storage.join(storage.parent(files[0].url), _INFO))
    if expected is not None and count != expected:
        raise BadInputError(f"{files[0].url} holds {count:,} of {expected:,} rows: download it again")


def _rows(url: str) -> Iterator[dict[str, Any]]:
    with storage.open_read(url) as file:
        try:
            for batch in pa.ipc.open_stream(file):
                for row in range(batch.num_rows):
                    yield batch.slice(row, 1).to_pylist()[0]
        except MemoryError:
            raise
        except (pa.ArrowException, OSError, ValueError) as error:
            raise BadInputError(f"{url}: no Arrow file that can be read whole ({first_line(error)})") from error


def _content(image: Any, cache: str, where: str) -> bytes:
    """The bytes of an image: those in the row, or of the file that the library has unpacked below its cache."""
    content, path = (image.get("bytes"), image.get("path")) if isinstance(image, dict) else (None, None)
    if isinstance(content, bytes):
        return content
    # The path is that of the machine that has downloaded it.
    _, found, place = str(path or "").replace("\\", "/").rpartition("/downloads/")
    if not found or ".." in place.split("/"):
        raise BadInputError(f"{where}: its image {shown(path)} is neither in the file nor in the cache's downloads")
    url = storage.join(cache, "downloads", place)
    try:
        return storage.read_bytes(url)
    except NotFoundError as error:
        raise BadInputError(f"{where}: its image {url} is not there: copy the cache whole") from error


def _recorded(url: str) -> int | None:
    """How many rows of the test split the library has recorded."""
    try:
        splits = storage.read_json(url).get("splits")
        count = splits["test"]["num_examples"]
    except (NotFoundError, ConfigError, AttributeError, KeyError, TypeError):
        return None
    return count if isinstance(count, int) else None
