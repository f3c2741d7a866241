"""Processes that we start end with the one that they work for, and leave signals that are meant for all to it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.stopping import marked

PROGRAMS = {
    "command line": """
child = subprocess.Popen([sys.executable, "-c", CHILD], env={**os.environ, **children.child_environment()})
child.wait()
""",
    "fork server": """
child = children.fork_server([]).Process(target=work)
child.start()
child.join()
""",
    "spawn": """
child = multiprocessing.get_context("spawn").Process(target=work)
child.start()
child.join()
""",
}
HEAD = """
import multiprocessing, os, signal, subprocess, sys, time
from pathlib import Path
from datascaler.tools import child_processes as children

CHILD = '''
import os, signal, time
from pathlib import Path
from datascaler.tools import child_processes as children
children.end_with_parent()
Path(os.environ["UP"]).write_text(str(os.getpid()))
time.sleep(600)
'''

def work():
    children.begin_worker()
    for number in (signal.SIGTERM, signal.SIGINT):
        os.kill(os.getpid(), number)
    Path(os.environ["UP"]).write_text(str(os.getpid()))
    time.sleep(600)

if __name__ == "__main__":
"""


def within(seconds: float, condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@pytest.mark.parametrize("kind", PROGRAMS)
def test_no_process_outlives_a_killed_parent(kind: str, tmp_path: Path) -> None:
    program, up = tmp_path / "program.py", tmp_path / "up"
    program.write_text(HEAD + "".join(f"    {line}\n" for line in PROGRAMS[kind].strip().splitlines()))
    process = subprocess.Popen([sys.executable, str(program)], env={**os.environ, "UP": str(up)})
    try:
        assert within(60, lambda: up.exists() and bool(up.read_text()))
        assert len(marked(f"UP={up}")) >= 2
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    # Fork server and resource tracker too.
    assert within(10, lambda: not marked(f"UP={up}"))


def test_a_child_whose_parent_is_gone_before_it_looks_ends_too() -> None:
    """Nobody has the number of a process that has ended and was waited for."""
    ended = subprocess.Popen(["true"])
    ended.wait()
    code = "from datascaler.tools.child_processes import *; end_with_parent(); time.sleep(600)"
    environment = {**os.environ, "DATASCALER_PARENT_PID": str(ended.pid)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, timeout=50, check=False, capture_output=True)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.parametrize("kind", ["command line", "fork server"])
def test_children_start_in_any_folder_and_with_any_folder_for_temporary_files(kind: str, tmp_path: Path) -> None:
    """The working folder has modules of the standard library's names; a socket's path can't be so long."""
    program, up, shadows = tmp_path / "program.py", tmp_path / "up", tmp_path / "shadows"
    temporary = tmp_path / ("long" * 40)
    program.write_text(HEAD + "".join(f"    {line}\n" for line in PROGRAMS[kind].strip().splitlines()))
    for folder in (temporary, shadows):
        folder.mkdir()
    for name in ("types", "socket", "pickle", "torch", "signal"):
        (shadows / f"{name}.py").write_text("raise SystemExit('not this one')")
    environment = {**os.environ, "UP": str(up), "TMPDIR": str(temporary)}
    process = subprocess.Popen([sys.executable, str(program)], env=environment, cwd=shadows)
    try:
        assert within(60, lambda: up.exists() and bool(up.read_text()))
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert within(10, lambda: not marked(f"UP={up}"))


def test_what_processes_leave_behind_that_are_ended_at_once_is_not_the_last_word(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("""
import multiprocessing, os, signal
from datascaler.tools.child_processes import start_resource_tracker

def leave():
    held = multiprocessing.get_context("spawn").Semaphore()
    os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    start_resource_tracker()
    child = multiprocessing.get_context("spawn").Process(target=leave)
    child.start()
    child.join()
    print(child.exitcode, os.environ.get("PYTHONWARNINGS"))
""")
    done = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, timeout=100, check=True)
    assert (done.stdout, done.stderr) == (f"-9 {os.environ.get('PYTHONWARNINGS')}\n", "")
