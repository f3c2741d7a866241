"""What pods leave when they are killed rather than deleted: shims, processes, mounts, cgroups."""

import os
import re
import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

from tests.cluster import layout, processes

# Made anew by each start; containerd's own folder, with the images, is kept.
_FOLDERS = (
    "apiserver",
    "certificates",
    "cni",
    "containerd-state",
    "controller-manager",
    "etcd",
    "kubelet",
    "kubelet-certificates",
    "pod-addresses",
    "pod-logs",
    "scheduler",
    "volume-plugins",
)


def remove_pods() -> None:
    """End all processes of the cluster's containers and everything that the kernel holds for them."""
    for pid in _shims():
        _kill(pid)
    for address in (layout.state_folder() / "containerd-state").glob("io.containerd.runtime.v2.task/*/*/address"):
        Path(address.read_text().removeprefix("unix://")).unlink(missing_ok=True)
    processes.wait(_cgroups_are_empty, 30)
    _unmount()
    for cgroup in _cgroups():
        with suppress(FileNotFoundError):
            cgroup.rmdir()


def remove_files() -> None:
    """All but images, logs and records."""
    folder = layout.state_folder()
    if mounts := _mounts():
        # A volume that is still mounted in there would be emptied.
        raise RuntimeError(f"not removing {folder}: still mounted: {' '.join(mounts)}")
    for name in _FOLDERS:
        shutil.rmtree(folder / name, ignore_errors=True)
    for link in Path("/var/log/containers").glob("*.log"):
        if link.is_symlink() and link.readlink().is_relative_to(folder):
            link.unlink()


def _shims() -> list[int]:
    """Every shim that speaks to this cluster's containerd."""
    ours = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(FileNotFoundError, ProcessLookupError):
            words = file.read_text(errors="replace").split("\0")
            if "containerd-shim" in words[0] and str(layout.containerd_socket()) in words:
                ours.append(int(file.parent.name))
    return ours


def _cgroups() -> list[Path]:
    """Our cgroups in each hierarchy, children before parents."""
    roots = [*Path("/sys/fs/cgroup").glob(f"*/{layout.CGROUP}"), Path("/sys/fs/cgroup") / layout.CGROUP]
    found = [Path(folder) for root in roots for folder, _, _ in os.walk(root)]
    return sorted(found, key=lambda folder: len(folder.parts), reverse=True)


def _cgroups_are_empty() -> bool:
    """Kills what is there, too, so that a process which has just forked is met at the next look."""
    empty = True
    for cgroup in _cgroups():
        with suppress(FileNotFoundError):
            for pid in (cgroup / "cgroup.procs").read_text().split():
                _kill(int(pid))
                empty = False
    return empty


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _mounts() -> list[str]:
    """What is mounted in the state folder, the newest first."""
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    # Spaces and the like are written in octal.
    plain = [re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), point) for point in points]
    return [point for point in reversed(plain) if Path(point).is_relative_to(layout.state_folder())]


def _unmount() -> None:
    if points := _mounts():
        subprocess.run(["umount", "--lazy", *points], check=True)
