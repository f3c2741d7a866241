"""Blocks that are freed and asked for again: the system clears their pages once, not every time."""

import platform
import subprocess
import sys

import pytest

COUNT = """
import resource, sys
from datascaler.models.freed_memory import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
import torch
def use(times):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        torch.zeros(64 << 20, dtype=torch.uint8).fill_(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
use(30)  # the heap grows by some blocks before it has holes of the right size
print(use(20))
"""


@pytest.mark.skipif("glibc" not in platform.libc_ver(), reason="mallopt is glibc's")
def test_blocks_are_used_again() -> None:
    kept, given_back = (
        int(subprocess.run([sys.executable, "-c", COUNT, each], capture_output=True, check=True).stdout)
        for each in ("keep", "default")
    )
    assert kept * 5 < given_back
