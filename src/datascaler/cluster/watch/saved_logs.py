"""The logs that pods left in object storage, which outlive the pods."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import groupby

from datascaler import storage
from datascaler.errors import ConfigError, DatascalerError, NotFoundError
from datascaler.storage.log_copy import CODE_SUFFIX, CODES

_NAME = re.compile(r"(?P<pod>.+)\.(?P<start>\d{8}T\d{6}Z)(\.(?P<part>\d+))?\.log")
_INDEX = re.compile(r"worker-(\d+)|(\d+)-[a-z0-9]{5}")
"""Ends of the names of a PyTorchJob's and an Indexed Job's pods."""


@dataclass(frozen=True, order=True, slots=True)
class _File:
    start: str
    pod: str
    part: int
    url: str

    @property
    def index(self) -> int | None:
        """None for pods that have none. The folder is called as the run, whose own name may end like an index."""
        run = storage.basename(storage.parent(self.url))
        whole = self.pod.startswith(f"{run}-")
        # Kubernetes cuts off the end of a long name of a Job, but never the index.
        match = _INDEX.fullmatch(self.pod[len(run) + 1 :]) if whole else re.search(f"-(?:{_INDEX.pattern})$", self.pod)
        return int(match[1] or match[2]) if match else None


def print_saved_logs(
    folders: Iterable[str], write: Callable[[str], None], *, index: int | None = None, tail: int | None = None
) -> int:
    """Write every log of the runs' folders, oldest first, each under its file's name; returns how many files there are.

    tail: only so many of the last lines of each pod's log. Raises ConfigError if the files tell no index.
    """
    # Runs of a list may share a folder.
    files = sorted(_file(info.url) for folder in dict.fromkeys(folders) for info in storage.list_files(folder, ".log"))
    if index is not None:
        if files and all(file.index is None for file in files):
            raise ConfigError(f"--index {index}: the pods that left these logs have no index")
        files = [file for file in files if file.index == index]
    for _, parts in groupby(files, key=lambda file: (file.start, file.pod)):
        _print_log(list(parts), write, tail)
    return len(files)


def saved_success(folder: str, wanted: int, *, is_shared: bool) -> bool | None:
    """Whether the pods that saved logs there did all that was to be done; None where the folder can't be read.

    wanted: the number of indexes, each of which must have ended with 0; of other runs one pod does.
    """
    try:
        files = [_file(info.url) for info in storage.list_files(storage.join(folder, CODES), CODE_SUFFIX)]
        done = [file for file in files if storage.read_text(file.url).strip() == "0"]
    except NotFoundError:
        return False
    except DatascalerError:
        return None
    return len({file.index for file in done}) == wanted if is_shared else bool(done)


def _print_log(parts: list[_File], write: Callable[[str], None], tail: int | None) -> None:
    if tail is None:
        for part in parts:
            _print_part(part, _lines(part), write)
        return
    kept: list[tuple[_File, list[str]]] = []
    for part in reversed(parts):
        lines = _lines(part)
        kept.append((part, lines[max(0, len(lines) - tail) :]))
        tail -= len(kept[-1][1])
        if tail <= 0:
            break
    for part, lines in reversed(kept):
        _print_part(part, lines, write)


def _print_part(part: _File, lines: list[str], write: Callable[[str], None]) -> None:
    write(f"==> {storage.basename(part.url)} <==")
    for line in lines:
        write(line)


def _lines(part: _File) -> list[str]:
    # Only at line feeds: a progress bar's carriage returns are part of a line, as in the log of a pod.
    lines = storage.read_bytes(part.url).decode("utf-8", "replace").split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def _file(url: str) -> _File:
    """Files of other names come first, by their names."""
    name = storage.basename(url).replace(CODE_SUFFIX, ".log")
    match = _NAME.fullmatch(name)
    if not match:
        return _File("", name.removesuffix(".log"), 1, url)
    return _File(match["start"], match["pod"], int(match["part"] or 1), url)
