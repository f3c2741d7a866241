"""The pods' name server: CoreDNS on a port of the node, behind the usual service kube-dns."""

import json
import secrets
import socket
import struct
from pathlib import Path

from tests.cluster import kubectl, layout, processes

# Not 53, which the machine's own resolver may hold.
_PORT = 10053
_ZONES = """\
cluster.local:{port} in-addr.arpa:{port} {{
  errors
  kubernetes cluster.local in-addr.arpa {{
    kubeconfig {kubeconfig} datascaler
    # Tests create services and look for them at once.
    ttl 0
  }}
}}
"""
# Other names go where the machine asks, if it asks anybody.
_OTHERS = """\
.:{port} {{
  errors
  forward . /etc/resolv.conf
  cache 30
}}
"""


def start_dns() -> processes.Process:
    template = _ZONES + (_OTHERS if _has_resolver() else "")
    configuration = layout.state_folder() / "Corefile"
    configuration.write_text(template.format(port=_PORT, kubeconfig=layout.kubeconfig()))
    _apply_service()
    return processes.start("coredns", [str(layout.binaries() / "coredns"), f"-conf={configuration}"])


def dns_answers() -> bool:
    """Whether it knows the API server's service."""
    return resolve("kubernetes.default.svc.cluster.local") == [layout.API_SERVICE_ADDRESS]


def resolve(name: str) -> list[str]:
    """The IPv4 addresses that it gives for a name; none where it doesn't answer."""
    number = secrets.randbelow(1 << 16)
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    question = labels + b"\0" + struct.pack("!HH", 1, 1)  # type A, class IN
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(2)
            client.connect((layout.DNS_SERVICE_ADDRESS, 53))
            client.send(struct.pack("!HHHHHH", number, 0x0100, 1, 0, 0, 0) + question)
            reply = client.recv(4096)
    except OSError:
        return []
    replied_number, _, _, answers = struct.unpack_from("!HHHH", reply)
    if replied_number != number:
        return []
    addresses: list[str] = []
    position = 12 + len(question)
    for _ in range(answers):
        position = _after_name(reply, position)
        kind, _, _, length = struct.unpack_from("!HHIH", reply, position)
        position += 10
        if kind == 1:
            addresses.append(socket.inet_ntoa(reply[position : position + length]))
        position += length
    return addresses


def _after_name(reply: bytes, position: int) -> int:
    """Labels up to an empty one, or up to a pointer of two bytes."""
    while (length := reply[position]) and length < 0xC0:
        position += 1 + length
    return position + (1 if length == 0 else 2)


def _apply_service() -> None:
    """A service without a selector, since the server is no pod."""
    protocols = [{"name": f"dns-{name.lower()}", "protocol": name} for name in ("UDP", "TCP")]
    metadata = {"name": "kube-dns", "namespace": "kube-system"}
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {
            "clusterIP": layout.DNS_SERVICE_ADDRESS,
            "ports": [{**protocol, "port": 53, "targetPort": _PORT} for protocol in protocols],
        },
    }
    endpoints = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {**metadata, "labels": {"kubernetes.io/service-name": "kube-dns"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [layout.NODE_ADDRESS]}],
        "ports": [{**protocol, "port": _PORT} for protocol in protocols],
    }
    objects = {"apiVersion": "v1", "kind": "List", "items": [service, endpoints]}
    kubectl.kubectl("apply", "--filename=-", stdin=json.dumps(objects))


def _has_resolver() -> bool:
    file = Path("/etc/resolv.conf")
    return file.exists() and any(line.split()[:1] == ["nameserver"] for line in file.read_text().splitlines())
