"""Evaluation sets from their public homes: every file compared with the hub's checksum, what is there already skipped.

A set whose manifest (test/nshards.txt) is there is whole: it comes last. `hub_files.json` beside it says of which
commit the files are, so that they need not be read again to know that they are the same.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from datascaler import storage
from datascaler.errors import (
    BadInputError,
    ConfigError,
    DatascalerError,
    PartlyFailedError,
    StorageError,
    TryAgainError,
)
from datascaler.evaluate.hub.client import Hub, HubFile
from datascaler.evaluate.hub.fetch_file import checksum_of, fetch_file
from datascaler.evaluate.hub.homes import SetHome
from datascaler.progress import progress

RECORD = "hub_files.json"
"""Repository, commit, and of each file its checksum and its etag in the folder."""
_MANIFEST = "test/nshards.txt"
_TAR = re.compile(r"test/(0|[1-9][0-9]{0,8})\.tar")
_TEXTS = ("classnames.txt", "zeroshot_classification_templates.txt", "dataset_type.txt")


@dataclass(slots=True)
class SetDownloaded:
    """What became of one set."""

    task: str
    repository: str
    folder: str
    commit: str = ""
    files: int = 0
    """That are there now and agree with the listing."""
    of: int = 0
    """That the set consists of."""
    fetched: int = 0
    """Those among them that were fetched now."""
    size: int = 0
    """Bytes of all its files."""
    failure: str = ""


def download_sets(
    output_dir: str, homes: Sequence[SetHome], hub: Hub, say: Callable[[str], None] = lambda _: None
) -> list[dict[str, Any]]:
    """Fetch the sets into folders below `output_dir`; a row each.

    Raises PartlyFailedError, after all others, where some could not be fetched, BadInputError where none could be, with
    the rows as `finished`; StorageError at once where the hub can't be reached.
    """
    storage.check_writable(output_dir)
    rows: list[SetDownloaded] = []
    for home in homes:
        row = SetDownloaded(home.task, home.repository, storage.join(output_dir, home.folder))
        rows.append(row)
        try:
            _download(hub, home, row)
        except TryAgainError as error:
            row.failure = str(error)
            raise error.after(_plain(rows)) from None
        except (BadInputError, ConfigError, StorageError) as error:
            if not hub.has_answered:
                raise
            row.failure = str(error)
            say(f"{home.task} can't be fetched, the others go on: {error}")
    failed = [row for row in rows if row.failure]
    if failed:
        kind: type[DatascalerError] = BadInputError if len(failed) == len(rows) else PartlyFailedError
        reasons = "; ".join(f"{row.task}: {row.failure}" for row in failed)
        raise kind(f"{len(failed)} of {len(rows)} sets could not be fetched: {reasons}").after(_plain(rows))
    return _plain(rows)


def _plain(rows: Sequence[SetDownloaded]) -> list[dict[str, Any]]:
    return [asdict(row) for row in rows]


def _download(hub: Hub, home: SetHome, row: SetDownloaded) -> None:
    row.commit, listing = hub.list_files(home.repository)
    wanted = _wanted(home, listing)
    row.of, row.size = len(wanted), sum(file.size for file in wanted)
    there = {storage.relative_to(info.url, row.folder): info for info in storage.list_files(row.folder, recursive=True)}
    known = _known(row.folder, there)
    with progress(row.size, row.task, unit="B") as bar:
        for file in wanted:
            target = storage.join(row.folder, file.path)
            info = there.get(file.path)
            if info and _is_the_same(info, file, known):
                bar.update(file.size)
            else:
                fetch_file(hub, home.repository, row.commit, file, target, bar.update)
                row.fetched += 1
            row.files += 1
            entry = {"checksum": file.checksum, "etag": storage.stat(target).etag}
            if known.get(file.path) != entry:
                known[file.path] = entry
                _record(row, known)
        for path in known.keys() - {file.path for file in wanted}:
            del known[path]


def _wanted(home: SetHome, listing: Mapping[str, HubFile]) -> list[HubFile]:
    """The set's files, its manifest last. Cards, and scripts that load the set, are left where they are."""
    if home.files:
        absent = [path for path in home.files if path not in listing]
        if absent:
            raise BadInputError(f"{home.repository} has no {', '.join(absent)}: it has changed; get the set elsewhere")
        return [listing[path] for path in home.files]
    if _MANIFEST not in listing:
        raise BadInputError(f"{home.repository} has no {_MANIFEST}: it is no evaluation set in DataComp's layout")
    tars = sorted((path for path in listing if _TAR.fullmatch(path)), key=lambda path: int(path[5:-4]))
    if not tars or tars[-1] != f"test/{len(tars) - 1}.tar":
        raise BadInputError(f"{home.repository} lacks some of its tars (it has {', '.join(tars) or 'none'})")
    return [listing[path] for path in (*_TEXTS, *tars, _MANIFEST) if path in listing]


def _known(folder: str, there: Mapping[str, storage.FileInfo]) -> dict[str, Any]:
    """What an earlier download recorded of the files; a record that isn't ours counts for nothing."""
    if RECORD not in there:
        return {}
    try:
        record = storage.read_json(storage.join(folder, RECORD))
    except ConfigError:
        return {}
    files = record.get("files") if isinstance(record, dict) else None
    return files if isinstance(files, dict) else {}


def _is_the_same(info: storage.FileInfo, file: HubFile, known: Mapping[str, Any]) -> bool:
    """Whether the file that is there is that of the listing. One that an earlier download left is not read again."""
    if info.size != file.size:
        return False
    if known.get(file.path) == {"checksum": file.checksum, "etag": info.etag}:
        return True
    with storage.open_read(info.url) as content:
        return checksum_of(content, file) == file.checksum


def _record(row: SetDownloaded, known: Mapping[str, Any]) -> None:
    record = {"repository": row.repository, "commit": row.commit, "files": dict(sorted(known.items()))}
    storage.publish_json(storage.join(row.folder, RECORD), record)
