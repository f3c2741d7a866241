"""Local files and folders as they are behind symbolic links, which Hugging Face's cache, DVC and git-annex are made of.

A listing follows a link as a stat does. A link to nothing is listed, as an empty file: whoever reads it is told. A
folder that can't be looked into is an error that names it, for what is left out here would be left out for good.
"""

import errno
import os
import stat
from collections.abc import Iterator

from datascaler.storage.error_translation import translated_errors


def stat_local(path: str) -> os.stat_result:
    """Stat the file that the path stands for. Raises NotFoundError, StorageError."""
    found = stat_if_there(path)
    if found is None:
        with translated_errors(path):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
    return found


def stat_if_there(path: str) -> os.stat_result | None:
    """The same; None for what is not there, as below a path that is a file's. Raises StorageError."""
    with translated_errors(path):
        try:
            return os.stat(path)  # noqa: PTH116  a Path takes longer to make than the file to look at
        except (FileNotFoundError, NotADirectoryError):
            return None


def local_files(
    folder: str, suffix: str | tuple[str, ...], *, recursive: bool
) -> Iterator[tuple[str, os.stat_result | None]]:
    """The files below a folder whose path ends in `suffix`, as paths in it; none where there is no such folder.

    None in place of a stat says that it is a link to nothing. A folder that a link leads back to is not entered again.
    """
    waiting = [("", frozenset({os.path.realpath(folder)}))]
    while waiting:
        below, above = waiting.pop()
        for entry, is_folder in _scanned(f"{folder}/{below}".rstrip("/")):
            path = below + entry.name
            if is_folder:
                place = os.path.realpath(entry.path)
                if recursive and place not in above:
                    waiting.append((path + "/", above | {place}))
            elif entry.path.endswith(suffix):  # which may name the folder, too
                try:
                    found = entry.stat()
                except FileNotFoundError:
                    # What is no link was removed since the folder was scanned.
                    if entry.is_symlink():
                        yield path, None
                except OSError:
                    with translated_errors(entry.path):
                        raise
                else:
                    if stat.S_ISREG(found.st_mode):
                        yield path, found


def local_folders(folder: str) -> list[str]:
    """Names of the folders in a folder."""
    return [entry.name for entry, is_folder in _scanned(folder) if is_folder]


def _scanned(folder: str) -> list[tuple["os.DirEntry[str]", bool]]:
    """What is in a folder, and whether each is a folder; nothing where there is no such folder."""
    with translated_errors(folder):
        try:
            with os.scandir(folder or "/") as scan:
                return [(entry, entry.is_dir()) for entry in scan]
        except (FileNotFoundError, NotADirectoryError):
            return []
