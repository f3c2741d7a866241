"""A server in the form of the Hugging Face hub, and a second one for its large files, that fail on purpose."""

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import partial
from hashlib import sha1, sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

COMMIT = sha1(b"commit").hexdigest()
LARGE_BYTES = 2000
"""From this size on files are of LFS, as the hub's tars."""
PAGE = 2
"""Entries of a page of a listing."""


@dataclass
class FakeHub:
    """What the hub has, what goes wrong, and what it was asked."""

    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    """Repository -> path -> content."""
    faults: dict[str, list[str]] = field(default_factory=dict)
    """Path -> what goes wrong with the next requests for it: reset, short, wrong, whole, or a status, as "429 1"."""
    url: str = ""
    files_url: str = ""
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    """Who was asked ("hub" or "files"), for which path, and the Authorization that came with it."""
    starts: list[tuple[str, int]] = field(default_factory=list)
    """Path and first byte of each request to the server of large files."""

    def fault(self, path: str) -> str:
        waiting = self.faults.get(path, [])
        return waiting.pop(0) if waiting else ""


@contextmanager
def fake_hub(repositories: dict[str, dict[str, bytes]]) -> Iterator[FakeHub]:
    hub = FakeHub(repositories)
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, hub, name)) for name in ("hub", "files")]
    hub.url, hub.files_url = (f"http://127.0.0.1:{server.server_address[1]}" for server in servers)
    threads = [threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}) for server in servers]
    for server, thread in zip(servers, threads, strict=True):
        server.daemon_threads = True
        thread.start()
    try:
        yield hub
    finally:
        for server, thread in zip(servers, threads, strict=True):
            server.shutdown()
            server.server_close()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, hub: FakeHub, name: str, *arguments: Any) -> None:
        self.hub, self.name = hub, name
        super().__init__(*arguments)

    def log_message(self, *_: object) -> None:
        """Nothing: the tests say what they saw."""

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        path = unquote(parts.path)
        self.hub.asked.append((self.name, path, self.headers.get("Authorization", "")))
        if self.name == "files":
            self._send_large(path)
        elif found := re.fullmatch(r"/api/datasets/([^/]+/[^/]+)/(revision/main|tree/(\w+))", path):
            self._send_listing(found[1], found[2].startswith("tree"), parse_qs(parts.query))
        elif found := re.fullmatch(r"/datasets/([^/]+/[^/]+)/resolve/(\w+)/(.+)", path):
            self._send_file(found[1], found[3])
        else:
            self._answer(404)

    def _send_listing(self, repository: str, is_tree: bool, query: dict[str, list[str]]) -> None:
        if self._fails(repository):
            return
        files = self.hub.repositories.get(repository)
        if files is None:
            self._answer(404)
        elif not is_tree:
            self._answer(200, json.dumps({"id": repository, "sha": COMMIT}).encode())
        else:
            first = int(query.get("cursor", ["0"])[0])
            entries = [{"type": "directory", "oid": "0" * 40, "size": 0, "path": "test"}]
            entries += [_entry(path, content) for path, content in sorted(files.items())]
            following = f"{self.hub.url}{urlsplit(self.path).path}?recursive=true&cursor={first + PAGE}"
            headers = {"Link": f'<{following}>; rel="next"'} if first + PAGE < len(entries) else {}
            self._answer(200, json.dumps(entries[first : first + PAGE]).encode(), headers)

    def _send_file(self, repository: str, path: str) -> None:
        content = self.hub.repositories.get(repository, {}).get(path)
        if self._fails(path):
            return
        if content is None:
            self._answer(404)
        elif len(content) < LARGE_BYTES:
            self._answer(200, content)
        else:
            place = f"{self.hub.files_url}/{repository}/{path}?signature=0123"
            headers = {"Location": place, "X-Linked-Size": str(len(content))}
            self._answer(302, headers=headers | {"X-Linked-Etag": f'"{sha256(content).hexdigest()}"'})

    def _send_large(self, path: str) -> None:
        owner, name, file = path[1:].split("/", 2)
        content = self.hub.repositories[f"{owner}/{name}"][file]
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(found[1]) if found else 0
        self.hub.starts.append((file, start))
        fault = self.hub.fault(f"large {file}")
        if fault == "wrong":
            content = content[:-1] + bytes([content[-1] ^ 1])
        if fault == "whole":  # a server without ranges
            start = 0
        if fault[:3].isdigit():
            self._answer(int(fault[:3]))
            return
        part = content[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part[: len(part) // 2] if fault in ("short", "reset") else part)
        if fault in ("short", "reset"):
            self.wfile.flush()
            self.close_connection = True

    def _fails(self, path: str) -> bool:
        fault = self.hub.fault(path)
        if not fault:
            return False
        if fault == "reset":
            self.close_connection = True
            self.connection.close()
            return True
        status, _, wait = fault.partition(" ")
        moment = formatdate(time.time() + float(wait[1:]), usegmt=True) if wait.startswith("@") else wait
        self._answer(int(status), headers={"Retry-After": moment} if moment else {})
        return True

    def _answer(self, status: int, content: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _entry(path: str, content: bytes) -> dict[str, Any]:
    blob = sha1(b"blob %d\0" % len(content) + content).hexdigest()
    entry = {"type": "file", "oid": blob, "size": len(content), "path": path}
    if len(content) < LARGE_BYTES:
        return entry
    large = {"oid": sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}
    return {**entry, "oid": "f" * 40, "lfs": large}
