"""Who we are to the API server, and how we know that it is the one that is meant: a kubeconfig's fields as settings."""

import atexit
import base64
import json
import shutil
import tempfile
import time
import warnings
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from kubernetes import client
from urllib3.exceptions import InsecureRequestWarning

from datascaler.cluster.kube.credentials import Credential, CredentialSource, ExecPlugin, TokenFile
from datascaler.cluster.kube.kubeconfig import KubeContext, has_certificate
from datascaler.errors import ClusterError


class Identity:
    """Keeps the credential of a source that renews it in the settings of a client."""

    def __init__(self, settings: client.Configuration, source: CredentialSource) -> None:
        self.transport: client.ApiClient | None = None
        """Its connections end with a certificate that is replaced."""
        self._settings, self._source = settings, source
        self._held = Credential()
        self.renew()

    def renew(self, *, refused: bool = False) -> bool:
        """Whether there is another credential now. refused: the server did not take the one before."""
        held = self._held
        self._held = fresh = self._source.credential(held if refused else None)
        if fresh.token:
            self._settings.api_key["authorization"] = f"Bearer {fresh.token}"
        if (fresh.certificate, fresh.key) != (held.certificate, held.key):
            self._settings.cert_file = _file("plugin.crt", fresh.certificate.encode())
            self._settings.key_file = _file("plugin.key", fresh.key.encode())
            if self.transport:
                self.transport.rest_client.pool_manager.clear()
        return (fresh.token, fresh.certificate) != (held.token, held.certificate)


def authenticate(settings: client.Configuration, context: KubeContext) -> Identity | None:
    """Enter the cluster's certificate and the user's credentials; what is returned renews those that change."""
    user = context.user
    _trust(settings, context.cluster)
    if has_certificate(user):
        settings.cert_file = user.get("client-certificate") or _data_file(user, "client-certificate-data")
        settings.key_file = user.get("client-key") or _data_file(user, "client-key-data")
    if "tokenFile" in user:
        return Identity(settings, TokenFile(user["tokenFile"], user.get("token", "")))
    if "token" in user:
        settings.api_key["authorization"] = f"Bearer {user['token']}"
    elif "username" in user:
        both = f"{user.get('username', '')}:{user.get('password', '')}"
        settings.api_key["authorization"] = "Basic " + base64.b64encode(both.encode()).decode()
    elif "exec" in user and not has_certificate(user):
        return Identity(settings, ExecPlugin(user["exec"], context.cluster))
    elif "auth-provider" in user:
        settings.api_key["authorization"] = f"Bearer {_oidc_token(user['auth-provider'])}"
    elif not has_certificate(user):
        raise ClusterError("the kubeconfig's user has no credentials: no token, certificate, password or exec plugin")
    return None


def impersonation(user: Mapping[str, Any]) -> dict[str, str]:
    """Headers that ask the server to act as somebody else."""
    headers = {"Impersonate-User": user.get("as", ""), "Impersonate-Uid": user.get("as-uid", "")}
    several = {"Impersonate-Group": user.get("as-groups", [])}
    several |= {
        f"Impersonate-Extra-{quote(name, safe='')}": each for name, each in user.get("as-user-extra", {}).items()
    }
    for name, values in several.items():
        if len(values) > 1:
            raise ClusterError(f"the kubeconfig acts as {len(values)} groups or extras; only one of each can be sent")
        headers[name] = next(iter(values), "")
    return {name: value for name, value in headers.items() if value}


def _trust(settings: client.Configuration, cluster: Mapping[str, Any]) -> None:
    settings.ssl_ca_cert = cluster.get("certificate-authority") or _data_file(cluster, "certificate-authority-data")
    settings.tls_server_name = cluster.get("tls-server-name")
    if cluster.get("insecure-skip-tls-verify"):
        settings.verify_ssl = False
        # It was asked for, and a warning at each request says nothing new.
        warnings.simplefilter("ignore", InsecureRequestWarning)


def _oidc_token(provider: Mapping[str, Any]) -> str:
    """The id-token as it is; kubectl renews it in the file. Plugins have taken the place of this way."""
    if provider.get("name") != "oidc":
        raise ClusterError(f"the kubeconfig's auth-provider {provider.get('name')!r} is gone from Kubernetes; use exec")
    token = str((provider.get("config") or {}).get("id-token") or "")
    try:
        payload = token.split(".")[1]
        expires = float(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["exp"])
    except (IndexError, KeyError, TypeError, ValueError):
        raise ClusterError("the kubeconfig's auth-provider oidc has no id-token; log in again") from None
    if expires <= time.time():
        raise ClusterError("the id-token of the kubeconfig's auth-provider oidc has expired; any kubectl renews it")
    return token


def _data_file(fields: Mapping[str, Any], name: str) -> str | None:
    """A file with what the field holds in base64: TLS libraries want files."""
    return _file(name, base64.b64decode(fields[name])) if name in fields else None


def _file(name: str, content: bytes) -> str:
    path = _folder() / name
    path.write_bytes(content)
    return str(path)


@cache
def _folder() -> Path:
    """One that nobody else can read, and that ends with this process."""
    folder = tempfile.mkdtemp(prefix="datascaler-kube-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)
