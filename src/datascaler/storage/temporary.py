"""Temporary folders on this machine's own disk: the dead leave none for long, and a full disk is called by its name."""

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from datascaler.errors import DatascalerError, StorageError

_PREFIX = "datascaler-held-"
"""Folders of this name belong to nobody once nobody holds their lock. Other names are left alone."""


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A new folder below TMPDIR, removed at the end.

    The system drops a process's lock however it ends, so what killed processes left behind is removed here as well.
    """
    with named_full_disk():
        _remove_abandoned(Path(tempfile.gettempdir()))
        folder, lock = _held_folder()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A temporary folder for data that is sorted or searched: a full disk, while it is open, is a StorageError."""
    with temporary_folder() as folder, named_full_disk():
        yield folder


@contextmanager
def named_full_disk() -> Iterator[None]:
    """While open, what writes below TMPDIR may meet a full disk: it becomes a StorageError with the remedy.

    Some libraries raise an error of their own after the system's; then that one says what happened.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, DatascalerError) or not _is_full_disk(error):
            raise
        raise StorageError(
            f"no space is left for the temporary files in {tempfile.gettempdir()}: "
            "set TMPDIR to a folder on a larger local disk"
        ) from error


def _held_folder() -> tuple[Path, int]:
    """The folder, and a descriptor of it that holds its lock."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        # Until it is locked, another process may take it for abandoned and remove it.
        try:
            lock = os.open(folder, os.O_RDONLY)
        except FileNotFoundError:
            continue
        with suppress(OSError):  # some network disks know no locks: there, nobody can tell that a folder is abandoned
            fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists():
            return folder, lock
        os.close(lock)


def _remove_abandoned(parent: Path) -> None:
    for folder in parent.glob(f"{_PREFIX}*"):
        with suppress(OSError):  # somebody else's, or removed by another process this moment
            lock = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)


def _is_full_disk(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__cause__ or error.__context__
    return False
