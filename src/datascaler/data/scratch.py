"""A folder of this machine's own disk for what is sorted or searched on the way."""

import errno
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from datascaler.errors import StorageError


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A new folder below TMPDIR, removed at the end. A full disk becomes a StorageError with the remedy."""
    with tempfile.TemporaryDirectory(prefix="datascaler-") as folder:
        try:
            yield Path(folder)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise StorageError(
                f"no space is left for the temporary files in {tempfile.gettempdir()}: "
                "set TMPDIR to a folder on a larger local disk"
            ) from error
