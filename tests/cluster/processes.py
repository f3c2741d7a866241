"""Background processes that outlive the program that starts them, known again by pid and start time."""

import json
import os
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from tests.cluster import layout

_TAIL_LINES = 30


class PartFailedError(click.ClickException):
    """A part of the cluster ended or isn't ready in time; the message ends with its log."""


@dataclass(frozen=True)
class Process:
    name: str
    pid: int
    # A pid alone may be somebody else's by now; with its start and the boot it can't be.
    started: str
    boot: str

    @property
    def log(self) -> Path:
        return layout.logs() / f"{self.name}.log"


def start(name: str, command: list[str], environment: Mapping[str, str] | None = None) -> Process:
    """Start a daemon with a log of its own and record it."""
    log = layout.logs() / f"{name}.log"
    # Only this much of the environment: a proxy meant for the internet must not see the cluster's traffic.
    variables = {"PATH": f"{layout.binaries()}:{search_path()}", "HOME": str(Path.home()), **(environment or {})}
    files = [
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    # Not Popen, which warns about processes that are left running on purpose.
    pid = os.posix_spawn(command[0], command, variables, file_actions=files, setsid=True)
    process = Process(name, pid, _start_time(pid) or "", _boot())
    (layout.records() / f"{name}.process.json").write_text(json.dumps(asdict(process)))
    return process


def recorded() -> dict[str, Process]:
    """Every process that was started and not stopped, alive or not."""
    files = sorted(layout.records().glob("*.process.json"))
    return {process.name: process for process in (Process(**json.loads(file.read_text())) for file in files)}


def alive(process: Process) -> bool:
    return process.boot == _boot() and _start_time(process.pid) == process.started


def stop(process: Process, seconds: float = 15) -> None:
    """End it, by force after some seconds, and forget it."""
    if alive(process):
        os.kill(process.pid, signal.SIGTERM)
        if not wait(lambda: not alive(process), seconds):
            os.kill(process.pid, signal.SIGKILL)
            wait(lambda: not alive(process), seconds)
    (layout.records() / f"{process.name}.process.json").unlink(missing_ok=True)


def wait_for(process: Process, what: str, ready: Callable[[], bool], seconds: float = 120) -> None:
    """Wait until a part is ready; if any part ends meanwhile, or this one never is, say what the log says."""
    done = wait(lambda: bool(_ended()) or ready(), seconds)
    for part in _ended():
        raise PartFailedError(f"{part.name} ended before {process.name} was ready: {what}\n{tail(part.log)}")
    if not done:
        raise PartFailedError(f"{process.name} isn't ready after {seconds:.0f} s: {what}\n{tail(process.log)}")


def wait(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether it came true in that time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def tail(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
    return "\n".join([f"the end of {log}:", *lines])


def search_path() -> str:
    """PATH with the system's own folders, which a user's PATH may lack."""
    return ":".join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"])


def _ended() -> list[Process]:
    return [process for process in recorded().values() if not alive(process)]


def _start_time(pid: int) -> str | None:
    """Field 22 of its stat; None where it is gone, or a zombie that only its parent still sees."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    if fields[0] in "ZX":
        _reap(pid)
        return None
    return fields[19]


def _reap(pid: int) -> None:
    with suppress(ChildProcessError):  # somebody else's child
        os.waitpid(pid, os.WNOHANG)


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
