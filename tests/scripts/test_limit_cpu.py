"""The limit on what a command may take of the processor: what is within it is told, and what is not is ended."""

import subprocess
import sys
from pathlib import Path

LIMIT_CPU = Path(__file__).parents[2] / "scripts" / "limit_cpu"


def limited(seconds: int, program: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(LIMIT_CPU), str(seconds), "a try", sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_command_within_the_limit_keeps_its_exit_code() -> None:
    done = limited(60, "import time; time.sleep(1.2); raise SystemExit(7)")
    assert (done.returncode, done.stderr) == (7, "")
    # To sleep costs no CPU, however long it takes.
    assert done.stdout.startswith("a try: 0 s of CPU, ")


def test_a_command_beyond_the_limit_is_ended_and_named() -> None:
    done = limited(1, "while True: pass")
    assert (done.returncode, done.stderr) == (1, "a try may take 1 s of CPU\n")


def test_children_of_the_command_count_too() -> None:
    child = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'while True: pass'])"
    done = limited(1, child)
    assert (done.returncode, done.stderr) == (1, "a try may take 1 s of CPU\n")
