"""A way to read a pool in a process of its own: the samples that come out, and the CPU that they take."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType


def run_way(
    way: str, pool: Path | str, subset: Path | str, passes: int, environment: Mapping[str, str] = MappingProxyType({})
) -> tuple[int, float]:
    """The samples that the last pass of one of `read_ways` yields, and its CPU seconds."""
    return run([sys.executable, "-W", "ignore", "-m", "benchmarks.read_ways", way, pool, subset, passes], environment)


def run(command: Sequence[object], environment: Mapping[str, str] = MappingProxyType({})) -> tuple[int, float]:
    """The same of a command that prints them as JSON, in its last line."""
    done = subprocess.run(list(map(str, command)), env=os.environ | environment, stdout=subprocess.PIPE, check=True)
    said = json.loads(done.stdout.splitlines()[-1])
    return said["samples"], said["cpu_seconds"]


def require_all(way: str, found: int, expected: int) -> None:
    if found != expected:
        raise AssertionError(f"{way} read {found:,} samples, not {expected:,}")
