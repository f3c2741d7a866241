"""Credentials that change while a command runs: those of a program (`aws eks get-token`), and a token in a file."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

from datascaler.cluster.kube.api_paths import Json
from datascaler.errors import ClusterError

_EXTENSION = "client.authentication.k8s.io/exec"
_REREAD = timedelta(minutes=1)
"""How long a token file is taken at its word."""


@dataclass(frozen=True, slots=True)
class Credential:
    token: str = ""
    certificate: str = ""
    """Empty, or PEM; so is the key."""
    key: str = ""
    expires: datetime | None = None

    @property
    def is_over(self) -> bool:
        return self.expires is not None and datetime.now(UTC) >= self.expires


class CredentialSource(Protocol):
    def credential(self, refused: Credential | None = None) -> Credential:
        """What holds now. refused: what the server did not take. Raises ClusterError, in one line."""


class TokenFile:
    """The token in the file; where it can't be read, the one that the kubeconfig has beside it."""

    def __init__(self, path: str, otherwise: str = "") -> None:
        self._path, self._otherwise = path, otherwise

    def credential(self, refused: Credential | None = None) -> Credential:  # noqa: ARG002
        try:
            token = Path(self._path).read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            if not self._otherwise:
                raise ClusterError(f"the kubeconfig's tokenFile {self._path} can't be read: {error}") from error
            token = self._otherwise
        if not token:
            raise ClusterError(f"the kubeconfig's tokenFile {self._path} is empty")
        return Credential(token, expires=datetime.now(UTC) + _REREAD)


class ExecPlugin:
    """Asks the program again when what it gave has expired, or was refused."""

    def __init__(self, plugin: Mapping[str, Any], cluster: Mapping[str, Any]) -> None:
        self._plugin, self._cluster = plugin, cluster
        self._lock = Lock()
        self._held: Credential | None = None

    def credential(self, refused: Credential | None = None) -> Credential:
        with self._lock:
            if self._held is None or self._held is refused or self._held.is_over:
                self._held = self._read(self._run())
            return self._held

    def _run(self) -> str:
        plugin = self._plugin
        is_terminal = sys.stdin is not None and sys.stdin.isatty()
        if plugin["interactiveMode"] == "Always" and not is_terminal:
            raise self._error("wants to ask something, and standard input is not a terminal")
        is_interactive = is_terminal and plugin["interactiveMode"] != "Never"
        spec: Json = {"interactive": is_interactive}
        if plugin.get("provideClusterInfo"):
            spec["cluster"] = self._about_cluster()
        asked = {"kind": "ExecCredential", "apiVersion": plugin["apiVersion"], "spec": spec}
        # What it asks of people goes to their terminal; elsewhere it would be noise around our one line.
        err = None if sys.stderr is not None and sys.stderr.isatty() else subprocess.PIPE
        try:
            done = subprocess.run(
                [plugin["command"], *plugin["args"]],
                env={**os.environ, **plugin["env"], "KUBERNETES_EXEC_INFO": json.dumps(asked, separators=(",", ":"))},
                stdin=None if is_interactive else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=err,
                check=False,
            )
        except (OSError, ValueError) as error:
            hint = " ".join(plugin["installHint"].split())
            raise self._error(f"can't be started: {error}" + (f"; {hint}" if hint else "")) from error
        if done.returncode:
            said = (done.stderr or b"").decode("utf-8", "replace").split("\n")
            last = next((line.strip() for line in reversed(said) if line.strip()), "")
            raise self._error(f"failed with exit code {done.returncode}" + (f": {last}" if last else ""))
        return done.stdout.decode("utf-8", "replace")

    def _read(self, text: str) -> Credential:
        try:
            answer = json.loads(text)
        except ValueError:
            raise self._error("printed no JSON") from None
        if not isinstance(answer, dict) or answer.get("kind") != "ExecCredential":
            raise self._error("printed no ExecCredential")
        wanted = self._plugin["apiVersion"]
        if answer.get("apiVersion") != wanted:
            raise self._error(
                f"printed an ExecCredential of {answer.get('apiVersion')!r}; the kubeconfig wants {wanted}"
            )
        status = answer.get("status")
        if not isinstance(status, dict):
            raise self._error("printed an ExecCredential without a status")
        fields = ("token", "clientCertificateData", "clientKeyData", "expirationTimestamp")
        token, certificate, key, expires = (status.get(field) or "" for field in fields)
        if not all(isinstance(each, str) for each in (token, certificate, key, expires)):
            raise self._error("printed an ExecCredential whose fields are no texts")
        if not (token or certificate or key):
            raise self._error("printed neither a token nor a certificate")
        if bool(certificate) != bool(key):
            raise self._error("printed only one of certificate and key")
        try:
            moment = datetime.fromisoformat(expires) if expires else None
        except ValueError:
            raise self._error("printed an expirationTimestamp that is no time") from None
        if moment and moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return Credential(token, certificate, key, moment)

    def _about_cluster(self) -> Json:
        cluster = self._cluster
        names = ("server", "tls-server-name", "insecure-skip-tls-verify", "proxy-url", "disable-compression")
        about: Json = {name: cluster[name] for name in names if name in cluster}
        if path := cluster.get("certificate-authority"):
            about["certificate-authority-data"] = base64.b64encode(Path(path).read_bytes()).decode()
        elif data := cluster.get("certificate-authority-data"):
            about["certificate-authority-data"] = data
        for each in cluster.get("extensions") or ():
            if each.get("name") == _EXTENSION:
                about["config"] = each.get("extension")
        return about

    def _error(self, what: str) -> ClusterError:
        return ClusterError(f"the kubeconfig's exec plugin {self._plugin['command']} {what}")
