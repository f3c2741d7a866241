"""A user of the Slurm under test: jobs are submitted by the project's scripts, and looked at as anybody can."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.train.elastic import process_tree

_SECONDS = 600
_SCRIPTS = Path(__file__).parents[2] / "scripts"
_GONE = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY"}


class Slurm:
    def __init__(self, settings: Path, folder: Path) -> None:
        self._settings, self._folder = settings, folder
        (folder / "scripts").symlink_to(_SCRIPTS)
        self._environment = {
            **os.environ,
            "SLURM_CONF": str(settings),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "OMP_NUM_THREADS": "1",
            # Both nodes are this machine, whose own name need not be known.
            "GLOO_SOCKET_IFNAME": "lo",
        }

    def run(self, *command: str) -> str:
        done = subprocess.run(command, env=self._environment, cwd=self._folder, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def submit(self, script: str, *flags: str, job: Sequence[str] = ()) -> str:
        """The id of the job."""
        return self.run("sbatch", "--parsable", *job, f"scripts/slurm/{script}.sbatch", *flags)

    def submit_text(self, text: str, *, job: Sequence[str] = ()) -> str:
        """A batch script of the test's own."""
        file = self._folder / f"own-{len(list(self._folder.iterdir()))}.sbatch"
        file.write_text(f"#!/bin/bash\n{text}\n")
        return self.run("sbatch", "--parsable", *job, str(file))

    def look(self, job: str) -> dict[str, str]:
        """What `scontrol` says of a job, or of one task of an array, `4_2`."""
        return dict(re.findall(r"(\w+)=(\S*)", self.run("scontrol", "show", "job", "--oneliner", job)))

    def tasks(self, job: str) -> list[str]:
        """The states of an array's tasks."""
        return re.findall(r"JobState=(\w+)", self.run("scontrol", "show", "job", "--oneliner", job))

    def wait(self, *jobs: str) -> None:
        """Until all have ended, whatever became of them."""
        for job in jobs:
            self.until(lambda job=job: set(self.tasks(job)) <= _GONE, f"end of job {job}")  # type: ignore[misc]

    def until(self, condition: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + _SECONDS
        while not condition():
            assert time.monotonic() < deadline, f"no {what} within {_SECONDS} s\n{self.said()}"
            time.sleep(0.01)

    def log(self, job: str) -> str:
        file = self._folder / f"slurm-{job}.out"
        return file.read_text(errors="replace") if file.exists() else ""

    def said(self) -> str:
        """The queue and the end of each log, for a failure's message."""
        logs = (f"--- {file.name}\n{file.read_text(errors='replace')[-2000:]}" for file in self._folder.glob("*.out"))
        return "\n".join([self.run("squeue"), *sorted(logs)])

    def processes(self, job: str, variable: str, count: int) -> list[int]:
        """Its tasks' Python processes that were started with a variable, once there are so many."""
        found: list[int] = []

        def are_there() -> bool:
            found[:] = [pid for pid in self._task_processes(job) if variable in _variables(pid)]
            return len(found) >= count

        self.until(are_there, f"{count} processes of job {job} with {variable}")
        return found

    def _task_processes(self, job: str) -> Iterator[int]:
        look = self.look(job)
        if look["JobState"] == "RUNNING":
            for node in self.run("scontrol", "show", "hostnames", look["NodeList"]).split():
                # Fails before the first task is there.
                command = ["scontrol", "listpids", look["JobId"], node]
                listed = subprocess.run(command, env=self._environment, capture_output=True, text=True)
                tasks = map(int, re.findall(r"^\d+", listed.stdout, re.MULTILINE))
                for pid in {below for task in tasks for below in _tree(task)}:
                    if b"python" in _read(pid, "cmdline").split(b"\0")[0]:
                        yield pid


@contextmanager
def held_still(pids: Sequence[int]) -> Iterator[None]:
    """While inside, these processes do nothing: what is to happen to them happens in the midst of their work, however
    fast the machine is.
    """
    _send(signal.SIGSTOP, pids)
    try:
        yield
    finally:
        _send(signal.SIGCONT, pids)


def _send(number: signal.Signals, pids: Sequence[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _tree(pid: int) -> list[int]:
    """The process and all below it, where it has not ended yet."""
    try:
        return process_tree(pid)
    except (FileNotFoundError, ProcessLookupError):
        return []


def _variables(pid: int) -> set[str]:
    return {text.partition("=")[0] for text in _read(pid, "environ").decode(errors="replace").split("\0")}


def _read(pid: int, name: str) -> bytes:
    """A file of a process; empty once that has ended."""
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""
