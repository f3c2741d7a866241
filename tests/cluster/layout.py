"""Where the cluster's files lie, and which addresses and names it uses."""

import os
import subprocess
from functools import cache
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
NODE_NAME = "node1"
# The bridge's own address is the node's: pods, the host and the API server reach it, and nothing outside does.
BRIDGE = "datascaler0"
NODE_ADDRESS = "10.244.0.1"
POD_RANGE = "10.244.0.0/24"
SERVICE_RANGE = "10.96.0.0/16"
API_SERVICE_ADDRESS = "10.96.0.1"
DNS_SERVICE_ADDRESS = "10.96.0.10"
API_URL = f"https://{NODE_ADDRESS}:6443"
ETCD_URL = "http://127.0.0.1:23790"
ETCD_PEER_URL = "http://127.0.0.1:23800"
CGROUP = "datascaler"
PROGRAMS = (
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "kubectl",
    "coredns",
)


def state_folder() -> Path:
    """DATASCALER_CLUSTER_DIR, or a folder of the user's; never in the checkout, so that every checkout finds it."""
    state_home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(os.environ.get("DATASCALER_CLUSTER_DIR") or Path(state_home) / "datascaler" / "cluster").absolute()


def records() -> Path:
    """What was started and changed; there from before the first process until after the last is gone."""
    return state_folder() / "records"


def logs() -> Path:
    return state_folder() / "logs"


def certificates() -> Path:
    return state_folder() / "certificates"


def containerd_socket() -> Path:
    return state_folder() / "containerd.sock"


def kubeconfig(name: str = "admin") -> Path:
    return state_folder() / f"{name}.kubeconfig"


def node_address() -> str:
    """Reachable from pods and from the host: where a server that pods talk to should listen."""
    return NODE_ADDRESS


@cache
def binaries() -> Path:
    """The folder of the Kubernetes programs, built if they aren't yet: up to half an hour on two cores."""
    script = REPOSITORY / "scripts" / "build_kubernetes"
    return Path(subprocess.run([script, *PROGRAMS], check=True, stdout=subprocess.PIPE, text=True).stdout.strip())
