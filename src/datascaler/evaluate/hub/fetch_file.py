"""One file of the hub -> a folder or an object store: continued where it broke off, compared with its checksum.

What has come so far lies beside a local target, for a store in `$TMPDIR/datascaler-UID`. It is named by its content,
so that a newer version of the file is not put together with an older one's beginning.
"""

import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import closing
from hashlib import sha1, sha256
from pathlib import Path
from typing import IO

from datascaler import storage
from datascaler.errors import BadInputError, StorageError
from datascaler.evaluate.hub.client import Hub, HubFile

_PIECE_BYTES = 1 << 20
_MOST_TRIES = 2
"""A file that arrives whole with another checksum is fetched so often."""


def fetch_file(
    hub: Hub, repository: str, commit: str, file: HubFile, target: str, advance: Callable[[int], object]
) -> None:
    """Publish the file at `target`; `advance` is told of the bytes as they come.

    Raises BadInputError for content that is not what the hub's listing says, and StorageError.
    """
    url = hub.file_url(repository, commit, file.path)
    partial = _partial(target, file)
    for _ in range(_MOST_TRIES):
        _complete(hub, url, repository, file, partial, advance)
        with partial.open("rb") as content:
            found = checksum_of(content, file)
        if found == file.checksum:
            _publish(partial, target)
            return
        partial.unlink()
        advance(-file.size)
    raise BadInputError(
        f"{url}: its checksum is {found[:16]}, by the hub's listing {file.checksum[:16]}, twice: what stands between "
        "(a proxy, a mirror) changes it; try another way"
    )


def checksum_of(content: IO[bytes], file: HubFile) -> str:
    """The checksum of what is read, of the kind that the listing has for the file."""
    found = sha256() if file.sha256 else sha1(f"blob {file.size}\0".encode(), usedforsecurity=False)
    while piece := content.read(_PIECE_BYTES):
        found.update(piece)
    return found.hexdigest()


def _complete(
    hub: Hub, url: str, repository: str, file: HubFile, partial: Path, advance: Callable[[int], object]
) -> None:
    """Fetch what is missing of the file. While more of it comes, no failure is the last."""
    with storage.translated_errors(str(partial)):
        partial.touch()
    advance(partial.stat().st_size)
    while True:
        before = partial.stat().st_size
        try:
            hub.patiently(url, lambda: _continue(hub, url, repository, file, partial, advance))
        except StorageError:
            if partial.stat().st_size <= before:
                raise
        else:
            return


def _continue(
    hub: Hub, url: str, repository: str, file: HubFile, partial: Path, advance: Callable[[int], object]
) -> None:
    start = partial.stat().st_size
    if start == file.size:
        return
    with closing(hub.open(url, repository, start)) as answer, partial.open("r+b") as out:
        if answer.status != 206 or not answer.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            advance(-start)
            start = 0
        out.truncate(start)
        out.seek(start)
        while start < file.size and (piece := answer.read(min(_PIECE_BYTES, file.size - start))):
            with storage.translated_errors(str(partial)):
                out.write(piece)
            start += len(piece)
            advance(len(piece))
    if start < file.size:
        raise ConnectionError(f"broke off after {start:,} of {file.size:,} bytes")


def _partial(target: str, file: HubFile) -> Path:
    """Where what has come of the file lies; its folder is there."""
    if storage.is_local(target):
        path = Path(storage.local_path(target))
        with storage.translated_errors(target):
            path.parent.mkdir(parents=True, exist_ok=True)
        return path.with_name(f".{path.name}.{file.checksum[:16]}.part")
    folder = Path(tempfile.gettempdir(), f"datascaler-{os.getuid()}")
    with storage.translated_errors(str(folder)):
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.stat().st_uid != os.getuid():
            raise StorageError(f"{folder} belongs to somebody else: set TMPDIR to a folder of your own")
    return folder / f"{file.checksum}.part"


def _publish(partial: Path, target: str) -> None:
    if storage.is_local(target):
        with storage.translated_errors(target):
            partial.replace(storage.local_path(target))
        return
    with partial.open("rb") as content, storage.publish(target) as out:
        shutil.copyfileobj(content, out, _PIECE_BYTES)
    partial.unlink()
