"""How many cores this process may use: those it may run on, or fewer where its control group has a quota of time.

A container with `--cpus 2`, or a pod with a limit, sees all cores of its node; threads beyond the quota stop all of
them for the rest of every tenth of a second.
"""

import math
import os
from collections.abc import Iterator, MutableMapping
from contextlib import suppress
from pathlib import Path

_OF_THREADS = "OMP_NUM_THREADS"
"""Read by OpenMP, and by it torch, numpy's libraries and onnxruntime, once they are loaded."""


def usable_cores(root: Path = Path("/")) -> int:
    """The cores that this process may keep busy, at least 1: those of its affinity, and no more than quotas allow.

    `root` is the system's root folder.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([allowed, *map(math.ceil, _quotas(root))]))


def limit_threads(environment: MutableMapping[str, str] = os.environ, root: Path = Path("/")) -> None:
    """Have libraries that are not loaded yet start no more threads than cores, where they would count a node's.

    What somebody has set stays.
    """
    if any(_quotas(root)):
        environment.setdefault(_OF_THREADS, str(usable_cores(root)))


def _quotas(root: Path) -> Iterator[float]:
    """Cores' worth of time, of this process's group and those above it; nothing where there is no limit."""
    for controllers, path in _groups(root):
        base = root / "sys/fs/cgroup"
        if controllers == "":
            for folder in _upwards(base, path):
                quota, _, period = _text(folder / "cpu.max").partition(" ")
                yield from _quotient(quota, period)
        elif "cpu" in controllers.split(","):
            for mount in (base / controllers, base / "cpu"):
                for folder in _upwards(mount, path):
                    yield from _quotient(_text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us"))


def _groups(root: Path) -> Iterator[tuple[str, str]]:
    """The controllers, "" for version 2, and the path of each control group of this process."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number.isdigit():
            yield controllers, path


def _upwards(base: Path, path: str) -> Iterator[Path]:
    """The folder of a group, and those above it; in a container the path may be the host's, only the top is there."""
    parts = [part for part in path.split("/") if part not in ("", ".", "..")]
    for count in range(len(parts), -1, -1):
        yield base.joinpath(*parts[:count])


def _quotient(quota: str, period: str) -> Iterator[float]:
    with suppress(ValueError):  # "max", or no such file
        if int(quota) > 0 and int(period) > 0:
            yield int(quota) / int(period)


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, ValueError):
        return ""
