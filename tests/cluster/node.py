"""The node: kubelet and kube-proxy."""

from collections.abc import Mapping
from pathlib import Path

import yaml

from tests.cluster import kubectl, layout, processes
from tests.cluster.certificates import certificate


def start_kubelet() -> processes.Process:
    folder = layout.state_folder()
    configuration = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": layout.NODE_ADDRESS,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(certificate("ca"))},
        },
        "authorization": {"mode": "Webhook"},
        # There may be no systemd, and the hierarchy may be the first version's.
        "cgroupDriver": "cgroupfs",
        "failCgroupV1": False,
        "failSwapOn": False,
        # A cgroup of our own, so that what is found in it later is this cluster's.
        "cgroupRoot": f"/{layout.CGROUP}",
        "containerRuntimeEndpoint": f"unix://{layout.containerd_socket()}",
        "clusterDNS": [layout.DNS_SERVICE_ADDRESS],
        "clusterDomain": "cluster.local",
        "maxPods": 60,
        "podLogsDir": str(folder / "pod-logs"),
        "volumePluginDir": str(folder / "volume-plugins"),
        # A nearly full disk is no reason to evict tests or to delete images that no registry could bring back.
        "evictionHard": {},
        "imageGCHighThresholdPercent": 100,
        # Tests wait for what the kubelet notices.
        "nodeStatusUpdateFrequency": "5s",
    }
    command = [
        str(layout.binaries() / "kubelet"),
        f"--kubeconfig={layout.kubeconfig('kubelet')}",
        f"--config={_write('kubelet', configuration)}",
        f"--hostname-override={layout.NODE_NAME}",
        f"--node-ip={layout.NODE_ADDRESS}",
        f"--root-dir={folder / 'kubelet'}",
        f"--cert-dir={folder / 'kubelet-certificates'}",
    ]
    return processes.start("kubelet", command)


def start_kube_proxy() -> processes.Process:
    configuration = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(layout.kubeconfig("kube-proxy"))},
        "mode": "iptables",
        "bindAddress": layout.NODE_ADDRESS,
        "healthzBindAddress": f"{layout.NODE_ADDRESS}:10256",
        "metricsBindAddress": f"{layout.NODE_ADDRESS}:10249",
        "hostnameOverride": layout.NODE_NAME,
        # Replies between two pods on the bridge come back through the node, whatever br_netfilter is set to.
        "iptables": {"masqueradeAll": True, "localhostNodePorts": False},
        # The machine's own connection tracking is not ours to size.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    }
    command = [str(layout.binaries() / "kube-proxy"), f"--config={_write('kube-proxy', configuration)}"]
    return processes.start("kube-proxy", command)


def node_is_ready() -> bool:
    """Ready, and free of the taint that keeps pods off until then."""
    status = "{.status.conditions[?(@.type=='Ready')].status} {.spec.taints}"
    try:
        return kubectl.kubectl("get", "node", layout.NODE_NAME, f"--output=jsonpath={status}").strip() == "True"
    except RuntimeError:
        return False


def _write(name: str, configuration: Mapping[str, object]) -> Path:
    path = layout.state_folder() / f"{name}.yaml"
    path.write_text(yaml.safe_dump(configuration))
    return path
