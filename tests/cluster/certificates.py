"""One certificate authority and the key pairs that it signs, by openssl."""

import subprocess
from pathlib import Path

from tests.cluster import layout

_DAYS = "3650"
_SERVER_NAMES = (
    f"IP:{layout.NODE_ADDRESS},IP:{layout.API_SERVICE_ADDRESS},IP:127.0.0.1,"
    "DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,"
    "DNS:kubernetes.default.svc.cluster.local"
)
# Names and groups are those that Kubernetes' built-in roles are bound to.
CLIENTS = {
    "admin": "/O=system:masters/CN=admin",
    "kube-controller-manager": "/CN=system:kube-controller-manager",
    "kube-scheduler": "/CN=system:kube-scheduler",
    "kube-proxy": "/CN=system:kube-proxy",
    "kubelet": f"/O=system:nodes/CN=system:node:{layout.NODE_NAME}",
    "apiserver-kubelet": "/O=system:masters/CN=apiserver-kubelet-client",
}


def make_certificates() -> None:
    """A fresh authority, a pair for the API server, one for each client, and the key that signs service accounts."""
    folder = layout.certificates()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # An empty configuration, or the machine's own would add extensions of its choice.
    configuration = folder / "openssl.cnf"
    configuration.write_text("[req]\ndistinguished_name = name\n[name]\n")
    _make_pair("ca", "/CN=datascaler-tests", ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign"])
    leaf = ["basicConstraints=critical,CA:FALSE", "keyUsage=critical,digitalSignature"]
    server = [*leaf, "extendedKeyUsage=serverAuth", f"subjectAltName={_SERVER_NAMES}"]
    _make_pair("apiserver", "/CN=kube-apiserver", server, signed=True)
    for name, subject in CLIENTS.items():
        _make_pair(name, subject, [*leaf, "extendedKeyUsage=clientAuth"], signed=True)
    _make_service_account_keys()


def certificate(name: str) -> Path:
    return layout.certificates() / f"{name}.crt"


def key(name: str) -> Path:
    return layout.certificates() / f"{name}.key"


def _make_service_account_keys() -> None:
    private, public = str(key("service-accounts")), str(layout.certificates() / "service-accounts.pub")
    options = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]
    for command in (["genpkey", *options, "-out", private], ["pkey", "-in", private, "-pubout", "-out", public]):
        subprocess.run(["openssl", *command], check=True, capture_output=True)


def _make_pair(name: str, subject: str, extensions: list[str], *, signed: bool = False) -> None:
    command = ["openssl", "req", "-x509", "-days", _DAYS, "-subj", subject, "-noenc"]
    command += ["-config", str(layout.certificates() / "openssl.cnf")]
    command += ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-keyout", str(key(name)), "-out", str(certificate(name))]
    if signed:
        command += ["-CA", str(certificate("ca")), "-CAkey", str(key("ca"))]
    # Python 3.13 and newer refuse chains without key identifiers.
    for extension in [*extensions, "subjectKeyIdentifier=hash", "authorityKeyIdentifier=keyid"]:
        command += ["-addext", extension]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"openssl (3.0 or newer is needed) made no certificate for {name}:\n{done.stderr}")
