"""A folder of this machine's own disk for what is sorted or searched on the way."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from datascaler import storage


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A new folder below TMPDIR, removed at the end. A full disk becomes a StorageError with the remedy."""
    with storage.temporary_folder() as folder, storage.named_full_disk():
        yield folder
