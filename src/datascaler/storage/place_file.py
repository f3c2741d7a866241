"""A finished temporary file gets its name on a disk, by whatever the file system offers.

Hard links, renaming and renaming over another file are each missing somewhere: exFAT and most mounts of object stores
(gcsfuse, s3fs, mountpoint-s3) have no links, some of them no renaming. What is missing is found out by trying.
"""

import errno
import os
import shutil
import time
import uuid
from pathlib import Path

_LACKS = {
    errno.EPERM,
    errno.EACCES,
    errno.EOPNOTSUPP,
    errno.ENOTSUP,
    errno.ENOSYS,
    errno.EINVAL,
    errno.EMLINK,
    errno.EXDEV,
}
"""What file systems say of an operation that they lack; where it is a lack of rights, the next way says so again."""
_NO_RENAME_OVER = _LACKS | {errno.EEXIST, errno.EBUSY}
_CLAIM_SECONDS = 30.0
"""A claim that stays as it is for so long is of a writer that was killed: between it and the end is a rename."""
_POLL_SECONDS = 0.05


def place(temporary: str, path: str) -> None:
    """Give the file its name, in place of what has it."""
    try:
        Path(temporary).replace(path)
    except OSError as error:
        if error.errno not in _NO_RENAME_OVER:
            raise
        _place_instead(temporary, path)


def _place_instead(temporary: str, path: str) -> None:
    """The same where nothing can be renamed over a file: readers miss it for a moment. The one that was there is kept
    beside it until the new one is whole, and comes back where that fails.
    """
    if not os.path.lexists(path):
        _move(temporary, path)
        return
    kept = f"{path}.kept-{uuid.uuid4().hex}"
    _move(path, kept)
    try:
        _move(temporary, path)
    except BaseException:
        _move(kept, path)
        raise
    _remove(kept)


def place_if_absent(temporary: str, path: str) -> bool:
    """Give the file its name unless it is taken; whether it was. Of several writers exactly one wins."""
    try:
        Path(path).hardlink_to(temporary)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _LACKS:
            raise
        return _place_by_claim(temporary, path)
    return True


def _place_by_claim(temporary: str, path: str) -> bool:
    """The same by a file beside it that only one writer can create, so that the name itself never has half a file."""
    claim, mine = f"{path}.claim", uuid.uuid4().hex.encode()
    watched, since = b"", time.monotonic()
    while not os.path.lexists(path):
        try:
            descriptor = os.open(claim, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        except FileExistsError:
            there = _content(claim)
            if there != watched:
                watched, since = there, time.monotonic()
            elif time.monotonic() - since > _CLAIM_SECONDS:
                _remove(claim)
            time.sleep(_POLL_SECONDS)
            continue
        with os.fdopen(descriptor, "wb") as file:
            file.write(mine)
        try:
            if os.path.lexists(path):
                return False
            _move(temporary, path)
            return True
        finally:
            _remove(claim)
    return False


def _move(temporary: str, path: str) -> None:
    """Rename, or copy where that can't be done; `path` is free."""
    try:
        Path(temporary).rename(path)
    except OSError as error:
        if error.errno not in _LACKS:
            raise
        # Where nothing can be renamed, a file is shown when it is closed.
        try:
            shutil.copyfile(temporary, path)
            _remove(temporary)
        except BaseException:
            _remove(path)
            raise


def _content(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        return b""


def _remove(path: str) -> None:
    Path(path).unlink(missing_ok=True)
