"""An HTTP proxy before a real S3 server that spoils a given number of requests, each in a given way."""

import http.client
import socket
import struct
import threading
import time
import zlib
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import urlsplit

Fault = Literal[
    "slow down",
    "internal error",
    "reset",
    "truncated",
    "stall",
    "short",
    "short range",
    "flipped",
    "wrong checksum",
    "no conditions",
]
"""A short answer is complete as far as its Content-Length says; its Content-Range tells the truth or, for "short",
what was asked for. A flipped answer has a wrong bit, beside the right checksum if the server sent one.
With "no conditions" requests with If-None-Match are answered as by a server that does not know it, the others well."""

_ERRORS: dict[Fault, tuple[int, str]] = {
    "slow down": (503, "SlowDown"),
    "internal error": (500, "InternalError"),
    "no conditions": (501, "NotImplemented"),
}
_SPOILT_ANSWERS = ("truncated", "short", "short range", "flipped", "wrong checksum")
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
    at: dict[int, Fault] = field(default_factory=dict)
    """What happens to single requests of that method, by their number; the count above plays no part then."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, method: str, path: str) -> Fault | None:
        with self.lock:
            if method != self.method or self.where not in path:
                return None
            self.requests += 1
            if self.at:
                return self.at.get(self.requests)
            if self.left <= 0:
                return None
            self.left -= 1
            return self.kind

    def set(self, kind: Fault, count: int, method: str = "GET", where: str = "", *, after: bool = False) -> None:
        with self.lock:
            self.kind, self.left, self.method, self.where, self.after = kind, count, method, where, after
            self.requests, self.at = 0, {}

    def set_at(self, faults: Mapping[int, Fault]) -> None:
        """Spoil the GETs of these numbers, counted from 1."""
        self.set("short", 0)
        with self.lock:
            self.at = dict(faults)


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


def _content_range(header: str, size: int) -> str:
    """`bytes FIRST-LAST/TOTAL` of a part of the answer."""
    first, total = header.removeprefix("bytes ").partition("-")[0], header.rpartition("/")[2]
    return f"bytes {first}-{int(first) + size - 1}/{total}"


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
        if fault == "no conditions" and "If-None-Match" not in self.headers:
            fault = None
        if fault is not None and not self.faults.after and fault not in _SPOILT_ANSWERS:
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
        whole = content
        if fault in ("short", "short range"):
            content = content[: len(content) // 2]
        elif fault == "flipped" and content:
            content = bytes([content[0] ^ 1]) + content[1:]
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() in _DROPPED_HEADERS or (name.lower() == "content-length" and whole):
                continue
            if name.lower() == "x-amz-checksum-crc32" and fault == "wrong checksum":
                continue
            if name.lower() == "content-range" and fault == "short range":
                value = _content_range(value, len(content))
            self.send_header(name, value)
        if fault == "wrong checksum":
            self.send_header("x-amz-checksum-crc32", b64encode(zlib.crc32(whole[1:]).to_bytes(4, "big")).decode())
        if whole:
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
