"""A process beside the measured one that moves memory without a pause, as another job of a shared node does.

    python -m benchmarks.noisy_neighbour

copies more than a processor caches, again and again, until it is ended.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

_BYTES = 256 << 20


@contextmanager
def noisy_neighbour() -> Iterator["subprocess.Popen[bytes]"]:
    """One runs while this is open; it has begun when the body does."""
    command = [sys.executable, "-m", "benchmarks.noisy_neighbour"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            if process.stdout is None or not process.stdout.readline():
                raise AssertionError("the neighbour did not start")
            yield process
        finally:
            process.terminate()


def main() -> None:
    source, target = np.ones(_BYTES, np.uint8), np.empty(_BYTES, np.uint8)
    sys.stdout.write("begun\n")
    sys.stdout.flush()
    while True:
        np.copyto(target, source)


if __name__ == "__main__":
    main()
