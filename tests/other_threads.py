"""What threads that nobody asked for do in a process: libraries start one for every core, and some of them spin."""

import os
import subprocess
import sys

_COUNT = """
from glob import glob

def other_threads():
    stats = [open(path).read().rpartition(")")[2].split() for path in sorted(glob("/proc/self/task/*/stat"))[1:]]
    return [int(fields[11]) + int(fields[12]) for fields in stats]
"""


def ticks_of_other_threads(script: str, *arguments: object) -> list[list[int]]:
    """What a script prints of `other_threads()`, in a process whose libraries may start four threads each: the
    hundredths of a second of CPU that each thread but the first has had.
    """
    command = [sys.executable, "-c", _COUNT + script, *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "4"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return [[int(tick) for tick in line.strip("[]").split(", ") if tick] for line in done.stdout.splitlines()]
