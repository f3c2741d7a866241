"""A real Slurm on this machine: slurmctld and two slurmds, installed where they are missing, on ports of their own.

Two nodes of two cores each, two partitions: a job in `high` preempts one in `low`, which gets the grace time.
"""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

_PACKAGES = ("slurm-wlm", "munge")
_PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")
_START_SECONDS = 120
_STOP_SECONDS = 60
_NODES = 2
_NAMES = f"0x7f00000[1-{_NODES}]"
"""Of the nodes: addresses of the loopback network, spelled as names, which any machine can look up."""
_SETTINGS = """\
ClusterName=datascaler
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CryptoType=crypto/munge
# A job that was requeued waits as long as a credential is good: two minutes, if nothing is said.
AuthInfo=socket={folder}/munge.sock,cred_expire=10
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
SlurmctldPort={controller_port}
# Nodes have the cores that stand below, whatever the machine has.
SlurmdParameters=config_overrides
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=5,bf_interval=5
MpiDefault=none
ReturnToService=2
JobRequeue=1
PreemptMode=REQUEUE
PreemptType=preempt/partition_prio
KillWait=30
# The tests ask what became of jobs that ended long ago.
MinJobAge=7200
NodeName={names} NodeHostname={host} NodeAddr=127.0.0.1 Port=[{node_ports}] CPUs=2 RealMemory=4000 State=UNKNOWN
PartitionName=low Nodes={names} Default=YES PriorityTier=1 MaxTime=INFINITE State=UP GraceTime=60
PartitionName=high Nodes={names} PriorityTier=10 MaxTime=INFINITE State=UP
"""


class SlurmMissingError(Exception):
    """This machine can't have a Slurm of its own, and why."""


def install_slurm() -> None:
    """Make sure of the programs, or say what is in the way."""
    if os.geteuid() != 0:
        raise SlurmMissingError("make slurm needs root: it installs Slurm and starts its daemons")
    if all(shutil.which(program) for program in _PROGRAMS):
        return
    if shutil.which("apt-get") is None:
        raise SlurmMissingError(
            f"install what Debian calls {' and '.join(_PACKAGES)}: there is no apt-get here to do it"
        )
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "--yes", "--no-install-recommends", *_PACKAGES]):
        done = subprocess.run(["apt-get", "--quiet=2", *command], env=environment, capture_output=True, text=True)
        if done.returncode:
            raise SlurmMissingError(f"apt-get {command[0]} failed: {done.stderr.strip()[-500:]}")


@contextmanager
def slurm_server(folder: Path) -> Iterator[Path]:
    """The daemons, as long as this is open. Yields the settings' file, for SLURM_CONF."""
    for name in ("state", "spool"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.touch(0o400)
    key.write_bytes(os.urandom(1024))
    settings = folder / "slurm.conf"
    settings.write_text(_settings_of(folder))
    with ExitStack() as daemons:

        def start(*command: str) -> None:
            log = daemons.enter_context((folder / f"{command[0]}.out").open("ab"))
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
            daemons.callback(_end, process)

        start(
            *("munged", "--foreground", "--force", f"--socket={folder}/munge.sock", f"--key-file={key}"),
            *(f"--{name}-file={folder}/munge.{name}" for name in ("log", "pid", "seed")),
        )
        _until((folder / "munge.sock").exists, folder)
        start("slurmctld", "-D", "-f", str(settings))
        for number in range(1, _NODES + 1):
            start("slurmd", "-D", "-f", str(settings), "-N", f"0x7f00000{number}")
        _until(lambda: _idle_nodes(settings) == _NODES, folder)
        yield settings


def _settings_of(folder: Path) -> str:
    controller_port, first = _free_ports()
    return _SETTINGS.format(
        folder=folder,
        host=socket.gethostname().partition(".")[0],
        names=_NAMES,
        controller_port=controller_port,
        node_ports=f"{first}-{first + _NODES - 1}",
    )


def _free_ports() -> tuple[int, int]:
    """One for the controller, and the first of neighbours for the nodes."""
    while True:
        with ExitStack() as stack:
            holder = stack.enter_context(socket.socket())
            holder.bind(("127.0.0.1", 0))
            first = stack.enter_context(socket.socket())
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            try:
                for neighbour in range(port + 1, port + _NODES):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", neighbour))
            except (OSError, OverflowError):
                continue
            return int(holder.getsockname()[1]), port


def _idle_nodes(settings: Path) -> int:
    command = ["sinfo", "--noheader", "--Node", "--partition=low", "--states=idle", "--format=%N"]
    found = subprocess.run(command, env={**os.environ, "SLURM_CONF": str(settings)}, capture_output=True, text=True)
    return len(found.stdout.split()) if found.returncode == 0 else 0


def _until(condition: Callable[[], object], folder: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            said = "".join(f"--- {log.name}\n{log.read_text()[-1500:]}\n" for log in sorted(folder.glob("*.out")))
            raise SlurmMissingError(f"Slurm did not start within {_START_SECONDS} s:\n{said}")
        time.sleep(0.2)


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
