"""Commands that are told to stop at moments that a seed draws, and processes that are found by a mark."""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Self

EXITING = 0x4
"""PF_EXITING of Linux: nothing that is sent to such a process matters."""
DATASCALER = str(Path(sys.executable).parent / "datascaler")
CODES = {signal.SIGTERM: 143, signal.SIGINT: 130}


@dataclass
class Stopped:
    """A command that was told to stop."""

    number: signal.Signals
    moment: float
    """Seconds from the command's first import."""
    code: int
    err: str
    left: list[str]
    """Processes of it, 10 s after its end."""

    @property
    def is_right(self) -> bool:
        said = self.err.splitlines()[-1] if self.err else ""
        ended = self.code == CODES[self.number] and said.startswith("datascaler: error: stopped on request")
        return ended and "Traceback" not in self.err and not self.left


class Command:
    """`datascaler ARGUMENTS` in a session of its own, as a terminal's foreground job has its own process group."""

    def __init__(self, *arguments: str, module: str = "", under: Sequence[str] = ()) -> None:
        """Run `python -m MODULE`, which calls it with something set before; `under` is a command that runs it."""
        self.mark = f"DATASCALER_TEST_MARK={uuid.uuid4().hex}"
        name, _, value = self.mark.partition("=")
        self._err = tempfile.TemporaryFile()  # noqa: SIM115
        self.process = subprocess.Popen(
            [*under, *([sys.executable, "-m", module] if module else [DATASCALER]), *arguments],
            env={**os.environ, "OMP_NUM_THREADS": "1", name: value},
            stdout=subprocess.DEVNULL,
            stderr=self._err,
            start_new_session=True,
        )

    def until_first_import(self) -> None:
        """From here on it hears SIGTERM."""
        status, bit = Path(f"/proc/{self.process.pid}/status"), 1 << (signal.SIGTERM - 1)
        while self.process.poll() is None:
            (caught,) = (line.split()[1] for line in status.read_text().splitlines() if line.startswith("SigCgt"))
            if int(caught, 16) & bit:
                return
            time.sleep(0.001)

    @property
    def is_ending(self) -> bool:
        try:
            fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        except FileNotFoundError:
            return True
        return fields[0] == "Z" or bool(int(fields[6]) & EXITING)

    def send(self, number: signal.Signals) -> None:
        """SIGTERM goes to the process, as Kubernetes sends it; Ctrl-C to its whole group, as a terminal does."""
        send = os.killpg if number == signal.SIGINT else os.kill
        send(self.process.pid, number)

    def wait(self, seconds: float = 120) -> int:
        return self.process.wait(timeout=seconds)

    def said(self) -> str:
        self._err.seek(0)
        return self._err.read().decode()

    def left(self, seconds: float = 10) -> list[str]:
        """Command lines of its processes that are still there after so many seconds."""
        deadline = time.monotonic() + seconds
        while (found := marked(self.mark)) and time.monotonic() < deadline:
            time.sleep(0.05)
        return [_command_line(pid) for pid in found]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for pid in marked(self.mark):
            os.kill(pid, signal.SIGKILL)
        self.process.wait()
        self._err.close()


def stops(command_for: Callable[[int], Command], moments: int, seed: int, at_a_time: int = 2) -> list[Stopped]:
    """Stop the command `command_for(i)` at each of so many moments of its life, by SIGTERM and Ctrl-C in turns."""
    with command_for(-1) as undisturbed:
        undisturbed.until_first_import()
        started = time.monotonic()
        assert undisturbed.wait(600) == 0, undisturbed.said()
        seconds = time.monotonic() - started
    draw = random.Random(seed)
    drawn = [draw.uniform(0, seconds) for _ in range(moments)]
    with ThreadPoolExecutor(at_a_time) as executor:
        return list(executor.map(lambda at: _stopped(command_for, at, drawn[at]), range(moments)))


def _stopped(command_for: Callable[[int], Command], at: int, moment: float) -> Stopped:
    number = (signal.SIGTERM, signal.SIGINT)[at % 2]
    while True:
        with command_for(at) as command:
            command.until_first_import()
            time.sleep(moment)
            if not command.is_ending:
                command.send(number)
                if not command.is_ending:
                    code = command.wait()
                    return Stopped(number, moment, code, command.said(), command.left())
            command.wait()
        moment *= 0.8  # it was quicker this time


def marked(mark: str) -> list[int]:
    """The processes, not yet zombies, whose environment has the mark."""
    return list(_marked(mark.encode()))


def _marked(mark: bytes) -> Iterator[int]:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            ended = folder.joinpath("stat").read_text().rpartition(")")[2].split()[0] == "Z"
            if not ended and mark in folder.joinpath("environ").read_bytes():
                yield int(folder.name)
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            pass


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except (FileNotFoundError, ProcessLookupError):
        return ""
