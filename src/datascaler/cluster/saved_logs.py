"""The logs that pods left in object storage, which outlive the pods."""

from collections.abc import Callable

from datascaler import storage


def print_saved_logs(folder: str, write: Callable[[str], None]) -> int:
    """Write every log of a run's folder, oldest first, each under its file's name; returns how many there are."""
    files = sorted(storage.list_files(folder, ".log"), key=lambda info: storage.basename(info.url).split(".")[1:])
    for info in files:
        name = storage.basename(info.url)
        write(f"==> {name} <==")
        for line in storage.read_bytes(info.url).decode("utf-8", "replace").splitlines():
            write(line)
    return len(files)
