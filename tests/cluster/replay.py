"""An HTTP server that answers as the recorded API server did, so that the real client runs in tests without a cluster.

What it does of its own: it selects by labels and fields, cuts lists into pages, keeps what is created and patched, and
deletes an object with what belongs to it. Every object and every refusal that it sends was recorded
(`python -m tests.cluster.record`).
"""

import copy
import gzip
import json
import lzma
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from datascaler.cluster.kube.api_paths import path_of
from datascaler.cluster.kube.chart_values import merged_values
from tests.cluster.record import RECORDED

Json = dict[str, Any]
Query = dict[str, str]
Answer = tuple[int, Any]
"""Status, and a body: an object, a text, or pieces of a text that are sent as they come."""

CUT = "<the connection is cut>"
"""A piece of a text."""


@cache
def recorded(name: str) -> Any:
    content = (RECORDED / name).read_bytes()
    unpack = {"gz": gzip.decompress, "xz": lzma.decompress}.get(name.rpartition(".")[2])
    return json.loads(unpack(content) if unpack else content)


def recorded_run(name: str) -> Json:
    """{run, pods, events} as they were; a copy to change."""
    found: Json = next(each for each in recorded("runs.json.gz")["runs"] if each["name"] == name)
    found = copy.deepcopy(found)
    # Items of a list have no kind.
    for each, kind in (*((pod, "Pod") for pod in found["pods"]), *((event, "Event") for event in found["events"])):
        each["kind"] = kind
    return found


def recorded_answer(about: str) -> Answer:
    found: Json = next(each for each in recorded("answers.json") if each["about"] == about)
    return int(found["status"]), copy.deepcopy(found["body"])


class Replay:
    """The server's state: objects by path, and answers that come first."""

    def __init__(self, *, has_operator: bool = False) -> None:
        self.has_operator = has_operator
        self.objects: dict[str, list[Json]] = {}
        self.asked: list[tuple[str, str, Query, Any]] = []
        """Method, path, query and body of every request."""
        self.answers: list[Callable[[str, str, Query, Any], Answer | None]] = []
        """Asked in turn before the objects."""
        self.url = ""
        self._lock = Lock()
        self.answer("GET", "/version", *recorded_answer("version"))

    def add(self, *things: Json) -> None:
        for each in things:
            path = path_of(each["kind"], each["metadata"]["namespace"])
            self.objects.setdefault(path, []).append(each)

    def add_run(self, name: str, **changes: Json) -> Json:
        """A recorded run with its pods and events; changes are laid over the run. Returns the run."""
        found = recorded_run(name)
        run = merged_values(found["run"], changes)
        self.add(run, *found["pods"], *found["events"])
        return run

    def answer(self, method: str, path: str, status: int, body: Any) -> None:
        """To every such request, whatever its query. `path` may be the beginning of one and end in `*`."""

        def answer(asked_method: str, asked_path: str, _query: Query, _body: Any) -> Answer | None:
            fits = asked_path.startswith(path[:-1]) if path.endswith("*") else asked_path == path
            return (status, body) if asked_method == method and fits else None

        self.answers.append(answer)

    def requests(self, method: str) -> list[tuple[str, Query, Any]]:
        return [(path, query, body) for asked, path, query, body in self.asked if asked == method]

    def __call__(self, method: str, path: str, query: Query, body: Any) -> Answer:
        with self._lock:
            self.asked.append((method, path, query, body))
            for answer in reversed(self.answers):
                said: Answer | None = answer(method, path, query, body)
                if said is not None:
                    return said
            if method == "POST":
                return self._create(path, query, body)
            _, _, inside = path.partition("/namespaces/")
            if path.startswith("/apis/kubeflow.org") and not self.has_operator:
                return recorded_answer("no such group")
            if inside.count("/") == 1:  # NAMESPACE/KIND
                return 200, self._page(self.objects.get(path, []), query)
            return self._one(method, path, body)

    def _one(self, method: str, path: str, body: Json) -> Answer:
        """NAMESPACE/KIND/NAME, or its part /scale."""
        folder, _, name = path.removesuffix("/scale").rpartition("/")
        things = self.objects.get(folder, [])
        found = next((each for each in things if each["metadata"]["name"] == name), None)
        if found is None:
            return recorded_answer("not found")
        if method == "DELETE":
            things.remove(found)
            for others in self.objects.values():
                others[:] = [each for each in others if not _belongs_to(each, found)]
        if method == "PATCH" and not path.endswith("/scale"):
            things[things.index(found)] = found = merged_values(found, body)
        return 200, found

    def _create(self, path: str, query: Query, body: Json) -> Answer:
        made = body | {"metadata": {"uid": f"uid-{len(self.asked)}"} | body["metadata"]}
        if any(each["metadata"]["name"] == made["metadata"]["name"] for each in self.objects.get(path, [])):
            return recorded_answer("already exists")
        if "dryRun" not in query:
            self.objects.setdefault(path, []).append(made)
        return 201, made

    @staticmethod
    def _page(things: list[Json], query: Query) -> Json:
        """`continue` is the place of the next one."""
        fits = [each for each in things if _is_selected(each, query)]
        begin = int(query.get("continue") or 0)
        end = begin + int(query.get("limit") or len(fits) or 1)
        more = {"continue": str(end)} if end < len(fits) else {}
        items = [{key: value for key, value in each.items() if key != "kind"} for each in fits[begin:end]]
        return {"items": items, "metadata": more}


def _belongs_to(thing: Json, owner: Json) -> bool:
    uid = owner["metadata"].get("uid")
    return uid in [each["uid"] for each in thing["metadata"].get("ownerReferences") or ()]


def _is_selected(thing: Json, query: Query) -> bool:
    labels = thing["metadata"].get("labels", {})
    for term in filter(None, query.get("labelSelector", "").split(",")):
        name, _, value = term.partition("=")
        if name not in labels or (value and labels[name] != value):
            return False
    for term in filter(None, query.get("fieldSelector", "").split(",")):
        path, sign, value = term.partition("!=") if "!=" in term else term.partition("=")
        found: Any = thing
        for key in path.split("."):
            found = found.get(key, {})
        if (found == value) == (sign == "!="):
            return False
    return True


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # A head and a body in two packets would wait for each other.
    disable_nagle_algorithm = True
    server: "_Server"

    def _serve(self) -> None:
        url = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        status, said = self.server.replay(self.command, url.path, dict(parse_qsl(url.query)), body)
        self.send_response(status)
        if isinstance(said, dict):
            content = json.dumps(said).encode()
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
            return
        # As the API server sends logs.
        self.send_header("Content-Type", "text/plain")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in [said] if isinstance(said, str) else said:
            if piece == CUT:
                self.close_connection = True
                return
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece.encode()), piece.encode()))
        self.wfile.write(b"0\r\n\r\n")

    do_GET = do_POST = do_PATCH = do_DELETE = _serve  # noqa: N815

    def log_message(self, *_: Any) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    replay: Replay


@contextmanager
def serving(replay: Replay) -> Iterator[Replay]:
    server = _Server(("127.0.0.1", 0), _Handler)
    server.replay = replay
    replay.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield replay
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
