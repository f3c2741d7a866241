"""An HTTP proxy before a real S3 server that spoils a given number of requests, each in a given way."""

import http.client
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import urlsplit

Fault = Literal["slow down", "internal error", "reset", "truncated", "stall"]

_ERRORS: dict[Fault, tuple[int, str]] = {"slow down": (503, "SlowDown"), "internal error": (500, "InternalError")}
_STALL_SECONDS = 4.0
_DROPPED_HEADERS = {"connection", "expect", "transfer-encoding", "keep-alive"}


@dataclass
class Faults:
    """What goes wrong next. Requests of other methods, or without `where` in their path, pass untouched."""

    kind: Fault = "slow down"
    left: int = 0
    method: str = "GET"
    where: str = ""
    after: bool = False
    """Spoil the answer of a request that the server has carried out."""
    requests: int = 0
    """That matched, spoilt or not."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, method: str, path: str) -> Fault | None:
        with self.lock:
            if method != self.method or self.where not in path:
                return None
            self.requests += 1
            if self.left <= 0:
                return None
            self.left -= 1
            return self.kind

    def set(self, kind: Fault, count: int, method: str = "GET", where: str = "", *, after: bool = False) -> None:
        with self.lock:
            self.kind, self.left, self.method, self.where, self.after = kind, count, method, where, after
            self.requests = 0


@contextmanager
def faulty_proxy(upstream: str) -> Iterator[tuple[str, Faults]]:
    """The proxy's endpoint, and its faults: none until some are set."""
    faults = Faults()

    class Handler(_Handler):
        address = urlsplit(upstream).netloc

    Handler.faults = faults
    server = _Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", faults
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        """Clients hang up on what was spoilt, which is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    faults: Faults
    address: str

    def log_message(self, *_: object) -> None:
        """Nothing: the tests say what they saw."""

    def _pass(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.faults.take(self.command, self.path)
        if fault is not None and not self.faults.after and fault != "truncated":
            self._spoil(fault)
            return
        connection = http.client.HTTPConnection(self.address, timeout=60)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _DROPPED_HEADERS}
        connection.request(self.command, self.path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        if fault is not None and self.faults.after:
            self._spoil(fault)
            return
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in _DROPPED_HEADERS and not (name.lower() == "content-length" and content):
                self.send_header(name, value)
        if content:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if fault == "truncated":
            self.wfile.write(content[: len(content) // 2])
            self.close_connection = True
        else:
            self.wfile.write(content)

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _pass  # noqa: N815

    def _spoil(self, fault: Fault) -> None:
        self.close_connection = True
        if fault in _ERRORS:
            status, code = _ERRORS[fault]
            text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>Injected {code}</Message></Error>".encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.send_header("Connection", "close")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(text)
        elif fault == "stall":
            time.sleep(_STALL_SECONDS)
        else:
            # Lingering for no time makes the kernel send a reset.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
