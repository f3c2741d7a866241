"""One kubeconfig for each client of the API server, its certificate inside, so that the file can be copied anywhere."""

import base64
from pathlib import Path

import yaml

from tests.cluster import certificates, layout


def write_kubeconfigs() -> None:
    """A file beside the certificates' folder for each client that they are made for."""
    for name in certificates.CLIENTS:
        path = layout.kubeconfig(name)
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(_kubeconfig(name)))


def _kubeconfig(name: str) -> dict[str, object]:
    cluster = {"server": layout.API_URL, "certificate-authority-data": _encoded(certificates.certificate("ca"))}
    user = {
        "client-certificate-data": _encoded(certificates.certificate(name)),
        "client-key-data": _encoded(certificates.key(name)),
    }
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "datascaler", "cluster": cluster}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": "datascaler", "context": {"cluster": "datascaler", "user": name}}],
        "current-context": "datascaler",
    }


def _encoded(file: Path) -> str:
    return base64.b64encode(file.read_bytes()).decode()
