"""The Debian packages that the cluster needs, installed where they are missing."""

import os
import shutil
import subprocess
from pathlib import Path

import click

from tests.cluster import processes

CNI_FOLDER = Path("/usr/lib/cni")
_PROGRAMS = {
    "busybox": "busybox-static",
    "containerd": "containerd",
    "ip": "iproute2",
    "iptables": "iptables",
    "openssl": "openssl",
    "runc": "runc",
}


def install_packages() -> None:
    """Make sure of every package, or say in one sentence which is missing."""
    if os.geteuid() != 0:
        raise click.ClickException("the cluster needs root: it makes network interfaces, mounts and cgroups")
    missing = [package for program, package in _PROGRAMS.items() if find(program) is None]
    if not (CNI_FOLDER / "bridge").exists():
        missing.append("containernetworking-plugins")
    if not missing:
        return
    if shutil.which("apt-get") is None:
        raise click.ClickException(f"install what Debian calls {', '.join(missing)}; there is no apt-get here to do it")
    click.echo(f"installing {' '.join(missing)}", err=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "--yes", "--no-install-recommends", *missing]):
        # stdout is for the kubeconfig alone.
        subprocess.run(["apt-get", "--quiet=2", *command], check=True, env=environment, stdout=2)


def find(program: str) -> str | None:
    return shutil.which(program, path=processes.search_path())


def path_of(program: str) -> str:
    """Where an installed program is; daemons are started by absolute path."""
    path = find(program)
    if path is None:
        raise click.ClickException(f"{program} is not on PATH")
    return path
