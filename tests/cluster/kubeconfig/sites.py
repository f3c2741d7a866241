"""Three API servers and a proxy on this machine that write down who asked them, and how they were reached.

Their certificates were made once by `make_certificates` and lie beside the record; they are good for nothing else.
"""

import json
import socket
import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from tests.cluster.record import RECORDED

Json = dict[str, Any]
CERTIFICATES = RECORDED / "certificates.json"
PATHS = ("/serviceaccounts/", "/pods")
"""What kubectl asks for in a test (`create token`), and what we do: both name the namespace."""


@cache
def certificates() -> dict[str, str]:
    """PEM by name: `ca`, `server`, `server-key`, `client`, `client-key`."""
    found: dict[str, str] = json.loads(CERTIFICATES.read_text())
    return found


@dataclass
class Sites:
    """What the servers saw of the last command."""

    a: str = ""
    b: str = ""
    plain: str = ""
    """Without TLS."""
    proxy: str = ""
    seen: list[Json] = field(default_factory=list)

    def names(self) -> dict[str, str]:
        port = {name: getattr(self, name).rpartition(":")[2] for name in ("a", "b", "plain", "proxy")}
        return {"A": self.a, "B": self.b, "PLAIN": self.plain, "PROXY": self.proxy} | {
            f"{name.upper()}_PORT": each for name, each in port.items()
        }


@contextmanager
def sites() -> Iterator[Sites]:
    found = Sites()
    with tempfile.TemporaryDirectory() as folder:
        for name, text in certificates().items():
            (Path(folder) / name).write_text(text)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=f"{folder}/ca")
        context.load_cert_chain(f"{folder}/server", f"{folder}/server-key")
        context.verify_mode = ssl.CERT_OPTIONAL
    servers = [_Server(found, name, None if name == "plain" else context) for name in ("a", "b", "plain")]
    proxy = _Proxy({each.server_port: each for each in servers})
    for server in (*servers, proxy):
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    found.a, found.b = (f"https://127.0.0.1:{each.server_port}" for each in servers[:2])
    found.plain, found.proxy = (f"http://127.0.0.1:{each.server_port}" for each in (servers[2], proxy))
    try:
        yield found
    finally:
        for server in (*servers, proxy):
            server.shutdown()
            server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, site: Sites, name: str, context: ssl.SSLContext | None) -> None:
        self.site, self.name, self.context = site, name, context
        self.proxied: dict[int, str] = {}
        """Ports of the connections that come from the proxy, and what it was shown for each."""
        super().__init__(("0.0.0.0", 0), _Api)

    def get_request(self) -> Any:
        connection, address = super().get_request()
        # The handshake is made by the thread of the connection, which it may keep waiting.
        if self.context:
            connection = self.context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def handle_error(self, *_: Any) -> None:
        """A client that does not trust the certificate hangs up."""


class _Api(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if any(each in self.path for each in PATHS):
            self.server.site.seen.append(self._seen())
        body = json.dumps(
            {"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "status": {"token": "t"}}
        ).encode()
        self.send_response(201 if self.command == "POST" else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _seen(self) -> Json:
        path = self.path if self.path.startswith("/") else "/" + self.path.split("/", 3)[3]
        before, _, inside = path.partition("/api/v1/namespaces/")
        certificate: Any = self.connection.getpeercert() if isinstance(self.connection, ssl.SSLSocket) else None
        seen: Json = {"server": self.server.name, "namespace": inside.partition("/")[0], "below": before}
        seen["identity"] = self.headers.get("Authorization", "")
        seen["certificate"] = _common_name(certificate) if certificate else ""
        seen["as"] = {name: value for name, value in sorted(self.headers.items()) if name.startswith("Impersonate-")}
        port = self.client_address[1]
        return seen | {"proxied": port in self.server.proxied, "to the proxy": self.server.proxied.get(port, "")}

    do_GET = do_POST = _answer  # noqa: N815

    def log_message(self, *_: Any) -> None:
        pass


class _Proxy(ThreadingHTTPServer):
    """Goes to the server of that port on this machine, whatever the host's name is."""

    daemon_threads = True

    def __init__(self, servers: dict[int, _Server]) -> None:
        self.servers = servers
        super().__init__(("127.0.0.1", 0), _Tunnel)


class _Tunnel(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Proxy

    def do_CONNECT(self) -> None:
        with self._opened(int(self.path.rpartition(":")[2])) as there:
            self.send_response(200)
            self.end_headers()
            back = Thread(target=_pump, args=(there, self.connection), daemon=True)
            back.start()
            _pump(self.connection, there)
            back.join(5)
        self.close_connection = True

    def _forward(self) -> None:
        port = int(self.path.split("/")[2].rpartition(":")[2])
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with self._opened(port) as there:
            head = "".join(
                f"{name}: {value}\r\n"
                for name, value in self.headers.items()
                if name not in ("Connection", "Proxy-Authorization")
            )
            there.sendall(f"{self.command} {self.path} HTTP/1.1\r\n{head}Connection: close\r\n\r\n".encode() + body)
            _pump(there, self.connection)
        self.close_connection = True

    do_GET = do_POST = _forward  # noqa: N815

    @contextmanager
    def _opened(self, port: int) -> Iterator[socket.socket]:
        with socket.socket() as there:
            there.bind(("127.0.0.1", 0))
            self.server.servers[port].proxied[there.getsockname()[1]] = self.headers.get("Proxy-Authorization", "")
            there.connect(("127.0.0.1", port))
            yield there

    def log_message(self, *_: Any) -> None:
        pass


def _common_name(certificate: Any) -> str:
    return str(dict(each[0] for each in certificate["subject"])["commonName"])


def _pump(here: socket.socket, there: socket.socket) -> None:
    try:
        while content := here.recv(1 << 16):
            there.sendall(content)
        there.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def make_certificates() -> None:
    """By openssl: an authority, a server of several names, and a client; for a century."""
    names = "IP:127.0.0.1,DNS:localhost,DNS:api.cluster.test,DNS:hidden.test,IP:0.0.0.0"
    made = {}
    with tempfile.TemporaryDirectory() as folder:
        signed = ["-CA", f"{folder}/ca", "-CAkey", f"{folder}/ca-key"]
        for name, subject, more in (
            ("ca", "/CN=a test", ["-addext", "keyUsage=critical,keyCertSign"]),
            ("server", "/CN=server", [*signed, "-addext", f"subjectAltName={names}"]),
            ("client", "/CN=somebody", [*signed, "-addext", "extendedKeyUsage=clientAuth"]),
        ):
            command = ["openssl", "req", "-x509", "-days", "36500", "-subj", subject, "-noenc", *more]
            command += ["-addext", f"basicConstraints=critical,CA:{'TRUE' if name == 'ca' else 'FALSE'}"]
            command += ["-addext", "subjectKeyIdentifier=hash", "-addext", "authorityKeyIdentifier=keyid"]
            command += ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
            command += ["-keyout", f"{folder}/{name}-key", "-out", f"{folder}/{name}"]
            subprocess.run(command, check=True, capture_output=True)
            for each in (name, f"{name}-key"):
                made[each] = (Path(folder) / each).read_text()
    del made["ca-key"]
    CERTIFICATES.write_text(json.dumps(made, indent=2) + "\n")


if __name__ == "__main__":
    make_certificates()
