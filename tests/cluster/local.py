"""A Kubernetes on this machine for tests: `python -m tests.cluster.local start | stop | status`."""

import fcntl
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from tests.cluster import (
    busybox,
    certificates,
    cgroups,
    control_plane,
    dns,
    firewall,
    kubeconfigs,
    layout,
    leftovers,
    network,
    node,
    packages,
    processes,
    runtime,
)

# Whoever uses a part ends before it.
_STOP_ORDER = (
    "kubelet",
    "kube-proxy",
    "coredns",
    "kube-scheduler",
    "kube-controller-manager",
    "kube-apiserver",
    "containerd",
    "etcd",
)


def start() -> Path:
    """Start a fresh cluster, unless this checkout's programs run already; the administrator's kubeconfig."""
    packages.install_packages()
    binaries, made_with = layout.binaries(), layout.records() / "binaries"
    with _alone():
        if running() and made_with.exists() and made_with.read_text() == str(binaries):
            click.echo(f"the cluster runs already; its files are in {layout.state_folder()}", err=True)
            return layout.kubeconfig()
        _clean()
        began = time.monotonic()
        layout.records().mkdir()
        made_with.write_text(str(binaries))
        try:
            _start_parts()
        except BaseException:
            _clean()
            raise
        click.echo(f"the cluster is ready after {time.monotonic() - began:.0f} s", err=True)
    return layout.kubeconfig()


def stop() -> None:
    """End what was started and put everything back; images and logs stay."""
    with _alone():
        _clean()


def running() -> bool:
    """Whether every part is alive and answers."""
    parts = processes.recorded()
    return (
        set(parts) == set(_STOP_ORDER)
        and all(processes.alive(part) for part in parts.values())
        and control_plane.api_answers()
        and node.node_is_ready()
        and dns.dns_answers()
    )


def _start_parts() -> None:
    network.make_network()
    firewall.keep_pods_in()
    cgroups.make_cgroup()
    certificates.make_certificates()
    kubeconfigs.write_kubeconfigs()
    etcd = control_plane.start_etcd()
    containerd = runtime.start_containerd()
    processes.wait_for(etcd, "it answers", control_plane.etcd_answers)
    api_server = control_plane.start_api_server()
    processes.wait_for(containerd, "it answers", runtime.containerd_answers)
    runtime.remove_containers()
    busybox.import_busybox(layout.state_folder())
    processes.wait_for(api_server, "it is ready", control_plane.api_answers)
    control_plane.start_controller_manager()
    control_plane.start_scheduler()
    kubelet = node.start_kubelet()
    node.start_kube_proxy()
    coredns = dns.start_dns()
    processes.wait_for(coredns, "it answers", dns.dns_answers)
    processes.wait_for(kubelet, "the node is ready", node.node_is_ready)


def _clean() -> None:
    """By the records alone: where there are none, nothing was started."""
    if not layout.records().exists():
        return
    parts = processes.recorded()
    for name in _STOP_ORDER:
        if name in parts:
            processes.stop(parts[name])
    # A bridge that another state folder's cluster made could only be made when ours was gone, with all that hung on it.
    if network.bridge_owner() in (None, str(layout.state_folder())):
        leftovers.remove_pods()
        network.remove_network()
        firewall.clean_firewall()
    leftovers.remove_files()
    shutil.rmtree(layout.records())


@contextmanager
def _alone() -> Iterator[None]:
    """Two at once wait for each other."""
    layout.logs().mkdir(parents=True, exist_ok=True)
    with (layout.state_folder() / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@click.group()
def main() -> None:
    """A Kubernetes on this machine, for tests."""


@main.command("start")
def start_command() -> None:
    """Start it, unless it runs, and print the path of its kubeconfig."""
    click.echo(start())


@main.command("stop")
def stop_command() -> None:
    """End it and leave nothing behind but images and logs."""
    stop()


@main.command("status")
def status_command() -> None:
    """Say which parts run; exit 1 where the cluster as a whole doesn't."""
    parts = processes.recorded()
    for name in _STOP_ORDER:
        process = parts.get(name)
        is_alive = process is not None and processes.alive(process)
        click.echo(f"{name:24} {f'pid {process.pid}' if process and is_alive else 'not running'}")
    click.echo(f"KUBECONFIG={layout.kubeconfig()}")
    sys.exit(0 if running() else 1)


if __name__ == "__main__":
    main()
