"""A folder for what processes of one user on one node find out and share; all of it may be deleted."""

import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path


def node_folder() -> Path:
    """`$TMPDIR/datascaler-UID`, which may not be there. Raises PermissionError where it is another's, or others can
    write to it.
    """
    folder = Path(tempfile.gettempdir(), f"datascaler-{os.getuid()}")
    with suppress(FileNotFoundError):
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
            raise PermissionError(folder)
    return folder
