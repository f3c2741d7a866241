"""Writing: a file appears whole under its name, or not at all."""

import json
import logging
import re
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import IO, Any, cast

from fsspec.spec import AbstractBufferedFile

from datascaler.errors import StorageError
from datascaler.safe_text import safe_message, without_secrets
from datascaler.spec.paths import check_path
from datascaler.storage.error_translation import answer_of
from datascaler.storage.filesystem import filesystem
from datascaler.storage.http_files import is_http
from datascaler.storage.info import list_files
from datascaler.storage.place_file import place, place_if_absent
from datascaler.storage.retry import retried, store_of
from datascaler.storage.temporary import named_full_disk
from datascaler.storage.urls import is_local, join

# Stores where a PUT shows nothing until it is complete; everywhere else a temporary name and a rename are needed.
_ATOMIC_PUT = {"s3", "s3a", "gs", "gcs", "abfs", "az", "memory"}
_SHOWN_AS = {
    ".html": "text/html; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".pdf": "application/pdf",
}
"""What a browser shows, if the store says that it is that; it saves whatever else comes from a bucket."""
_SPOOL_BYTES = 32 << 20
_SETTLE_SECONDS = 1.0
"""The wait after a write without a condition: whoever found the name free has written then, and all see one winner."""
_unconditional: set[tuple[str, str]] = set()
"""Stores that said that they know no conditional writes."""
_log = logging.getLogger(__name__)
_UNFINISHED = re.compile(r"\.tmp-[0-9a-f]{32}$|\.claim$")


@contextmanager
def publish(url: str) -> Iterator[IO[bytes]]:
    """A binary file to write; it is published when the body ends and thrown away when the body raises."""
    with ExitStack() as stack:
        with named_full_disk():
            spool = stack.enter_context(tempfile.SpooledTemporaryFile(max_size=_SPOOL_BYTES))
            yield cast(IO[bytes], spool)
            spool.flush()
        retried(url, lambda: _put(url, cast(IO[bytes], spool)))


def publish_bytes(url: str, content: bytes) -> None:
    with publish(url) as file:
        file.write(content)


def publish_text(url: str, text: str) -> None:
    publish_bytes(url, text.encode("utf-8"))


def publish_json(url: str, value: Any) -> None:
    publish_text(url, json.dumps(without_secrets(value), indent=2, allow_nan=False) + "\n")


def publish_if_absent(url: str, content: bytes) -> bool:
    """Publish unless the name is taken; True if it was this call that wrote it.

    Local files are linked into place, or claimed where there are no links, and S3 gets a conditional PUT, so of several
    writers exactly one wins. Other stores only offer a check before the write: where two write at the same moment the
    last one wins, so what is there a little later is what counts.
    """
    _require_writable(url)
    fs, path = filesystem(url)
    tries = 0

    def act() -> bool:
        nonlocal tries
        tries += 1
        if fs.exists(path):
            # The answer to an earlier try may have been lost, not the try.
            return tries > 1 and bool(fs.cat_file(path) == content)
        if is_local(url):
            return _put_if_absent(fs, path, content)
        if url.startswith(("s3://", "s3a://")) and store_of(url) not in _unconditional:
            try:
                fs.pipe_file(path, content, mode="create")
            except OSError as error:
                # Not every server says which condition failed, so s3fs can't always call it FileExistsError.
                if isinstance(error, FileExistsError) or answer_of(error).status == 412:
                    return tries > 1 and bool(fs.cat_file(path) == content)
                if answer_of(error).status != 501:
                    raise
                _unconditional.add(store_of(url))
                _log.warning(
                    "%s: this store knows no conditional writes: of two at one moment the last one wins",
                    safe_message(url),
                )
            else:
                return True
        fs.pipe_file(path, content)
        if not url.startswith("memory://"):  # which is this process's own
            time.sleep(_SETTLE_SECONDS)
        return bool(fs.cat_file(path) == content)

    return retried(url, act)


def remove(url: str) -> None:
    _require_writable(url)
    fs, path = filesystem(url)
    retried(url, lambda: fs.rm_file(path))


def remove_unfinished(folder: str) -> None:
    """Remove what writers that were killed have left in a folder. For one whom nobody writes beside: what a living
    writer has not finished goes as well.
    """
    for info in list_files(folder):
        if _UNFINISHED.search(info.url):
            remove(info.url)


def check_writable(folder: str) -> None:
    """Fail now, with the remedy, if nothing can be written below `folder`: before hours are spent on its content."""
    probe = join(folder, f".datascaler-probe-{uuid.uuid4().hex}")
    try:
        publish_bytes(probe, b"")
        remove(probe)
    except StorageError as error:
        raise StorageError(f"cannot write below {folder}: {error}") from error


def _require_writable(url: str) -> None:
    check_path("the file to write", url)
    if is_http(url):
        raise StorageError(f"{url}: nothing can be written to a web server; give a folder or an object store")


def _put(url: str, source: IO[bytes]) -> None:
    _require_writable(url)
    fs, path = filesystem(url)
    source.seek(0)
    scheme = "file" if is_local(url) else url.partition("://")[0]
    if scheme in _ATOMIC_PUT:
        _write(fs, path, source)
        return
    fs.makedirs(fs._parent(path), exist_ok=True)
    temporary = f"{path}.tmp-{uuid.uuid4().hex}"
    try:
        _write(fs, temporary, source)
        if scheme == "file":
            place(temporary, path)
        else:
            fs.mv(temporary, path)
    except BaseException:
        if fs.exists(temporary):
            fs.rm_file(temporary)
        raise


def _put_if_absent(fs: Any, path: str, content: bytes) -> bool:
    fs.makedirs(fs._parent(path), exist_ok=True)
    temporary = f"{path}.tmp-{uuid.uuid4().hex}"
    try:
        fs.pipe_file(temporary, content)
        return place_if_absent(temporary, path)
    finally:
        if fs.exists(temporary):
            fs.rm_file(temporary)


def _write(fs: Any, path: str, source: IO[bytes]) -> None:
    content_type = _SHOWN_AS.get("." + path.rpartition(".")[2]) if "s3" in fs.protocol else None
    target = fs.open(path, "wb", **({"ContentType": content_type} if content_type else {}))
    try:
        while chunk := source.read(8 << 20):
            target.write(chunk)
        target.close()
    except BaseException:
        if isinstance(target, AbstractBufferedFile):
            # To close it, as leaving its context would, completes the object with the parts that have arrived.
            with suppress(Exception):
                target.discard()
            target.closed = True
        else:
            target.close()
        raise
