"""A web server over a folder: as Python's own, and with what others can and can't do."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass
class Web:
    """What the server does. Python's own has no ranges and no etags, and lists folders."""

    url: str = ""
    has_ranges: bool = True
    has_etags: bool = True
    lists: bool = True
    answers_head: bool = True
    busy: int = 0
    """Requests that are answered by 503 from now on."""
    short: int = 0
    """Answers with half of what was asked for, from now on."""
    silent: str = ""
    """The end of a path whose content is never sent."""
    closed: threading.Event = field(default_factory=threading.Event)


@contextmanager
def web_server(folder: Path) -> Iterator[Web]:
    web = Web()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, web, directory=str(folder)))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    web.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield web
    finally:
        web.closed.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, web: Web, *arguments: object, directory: str) -> None:
        self.web = web
        super().__init__(*arguments, directory=directory)  # type: ignore[arg-type]

    def log_message(self, *_: object) -> None:
        """Nothing: the tests say what they saw."""

    def do_HEAD(self) -> None:
        if not self.web.answers_head:
            self._refuse(HTTPStatus.METHOD_NOT_ALLOWED)
        elif not self._is_busy():
            self._send(with_body=False)

    def do_GET(self) -> None:
        if self.web.silent and self.path.endswith(self.web.silent):
            self.web.closed.wait()
        elif not self._is_busy():
            self._send(with_body=True)

    def _is_busy(self) -> bool:
        if self.web.busy <= 0:
            return False
        self.web.busy -= 1
        self._refuse(HTTPStatus.SERVICE_UNAVAILABLE)
        return True

    def _refuse(self, status: HTTPStatus) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, *, with_body: bool) -> None:
        path = Path(self.translate_path(self.path))
        if path.is_dir():
            if not self.web.lists:
                self._refuse(HTTPStatus.FORBIDDEN)
            elif with_body:
                super().do_GET()
            else:
                super().do_HEAD()
            return
        if not path.exists():
            self._refuse(HTTPStatus.NOT_FOUND)
            return
        content = path.read_bytes()
        etag = f'"{hash(content):x}"'
        if self.web.has_etags and self.headers.get("If-Match", etag) != etag:
            self._refuse(HTTPStatus.PRECONDITION_FAILED)
            return
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        part, status = content, HTTPStatus.OK
        if found and self.web.has_ranges:
            start, end = int(found[1]), int(found[2]) + 1
            part, status = content[start:end], HTTPStatus.PARTIAL_CONTENT
            if not part:
                status = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
        if with_body and self.web.short > 0:
            self.web.short -= 1
            part = part[: len(part) // 2]
        self.send_response(status)
        if status == HTTPStatus.PARTIAL_CONTENT:
            self.send_header("Content-Range", f"bytes {start}-{start + len(part) - 1}/{len(content)}")
        elif status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            self.send_header("Content-Range", f"bytes */{len(content)}")
        self.send_header("Last-Modified", self.date_time_string(path.stat().st_mtime))
        if self.web.has_etags:
            self.send_header("ETag", etag)
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        if with_body:
            self.wfile.write(part)
