"""What the pods of a run say: now, as they go on, and where pods are gone, what they left in the run's log folder."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from threading import Event, Thread

from datascaler.cluster.api import Api, Json, RefusedError
from datascaler.cluster.look import list_pods
from datascaler.cluster.paths import path_of
from datascaler.cluster.state import RunState, run_label
from datascaler.cluster.wait import look_again
from datascaler.errors import ClusterError

_PAUSE_SECONDS = 2.0
INDEX_LABELS = ("batch.kubernetes.io/job-completion-index", "training.kubeflow.org/replica-index")


@dataclass(frozen=True, kw_only=True, slots=True)
class LogQuery:
    index: int | None = None
    """Only pods of this index or worker; None means all."""
    since_seconds: int | None = None
    tail: int | None = None
    """Only so many of the last lines of each pod."""
    previous: bool = False
    """Of the containers that ran before a restart."""


def print_logs(api: Api, namespace: str, name: str, query: LogQuery, write: Callable[[str], None]) -> int:
    """Write what there is; returns how many pods had something to say."""
    pods = _pods(api, namespace, name, query)
    heard = 0
    for pod in pods:
        prefix = _prefix(pod, len(pods))
        lines = list(_read(api, pod, _asked(query)))
        heard += bool(lines)
        for line in lines:
            write(prefix + line)
    return heard


def follow_logs(
    api: Api,
    namespace: str,
    name: str,
    query: LogQuery,
    write: Callable[[str], None],
    *,
    timeout: float | None = None,
) -> list[RunState]:
    """Write lines as they come, also of pods that are created later, until the run has ended; then its states."""
    deadline = time.monotonic() + timeout if timeout is not None else None
    stopped = Event()
    followers: dict[str, Thread] = {}
    states: list[RunState] = []
    try:
        while True:
            # States first: a pod that ended in between is still among the pods of this round.
            states = look_again(api, namespace, name, states)
            for pod in _pods(api, namespace, name, query):
                uid = pod["metadata"]["uid"]
                if uid not in followers and _has_started(pod):
                    prefix = _prefix(pod, 2 if query.index is None and _is_shared(states) else 1)
                    target = _Follower(api, pod, prefix, query, write, stopped)
                    followers[uid] = Thread(target=target, name=pod["metadata"]["name"], daemon=True)
                    followers[uid].start()
            if all(state.state.is_final for state in states) or (deadline and time.monotonic() > deadline):
                break
            time.sleep(_PAUSE_SECONDS)
        for thread in followers.values():
            thread.join(timeout=30)
    finally:
        stopped.set()
    return states


class _Follower:
    """The log of one pod, from its first line to its last, through restarts of its container and broken streams."""

    def __init__(
        self, api: Api, pod: Json, prefix: str, query: LogQuery, write: Callable[[str], None], stopped: Event
    ) -> None:
        self._api, self._pod, self._prefix, self._query = api, pod, prefix, query
        self._write, self._stopped = write, stopped
        self._last, self._written = "", 0
        """The latest time of a line, and how many lines of that time were written."""

    def __call__(self) -> None:
        asked = _asked(self._query)
        while not self._stopped.is_set():
            try:
                self._take(_read(self._api, self._pod, asked | {"follow": "true", "timestamps": "true"}))
                if self._has_ended():
                    return
            except ClusterError:
                pass  # the pod is gone or the server away for a moment: the next look tells
            if self._last:
                # Seconds only: the server's filter is coarse, so lines that were written already are dropped here.
                asked = {"sinceTime": self._last[:19] + "Z"}
            self._stopped.wait(_PAUSE_SECONDS)
            if self._has_ended():
                return

    def _take(self, lines: Iterator[str]) -> None:
        """Write those that came neither in a stream before nor at the same time as the last of them. Inside a stream
        times may be equal, or run backwards by a little: stdout and stderr are two pipes."""
        before, to_skip = self._last, self._written
        for line in lines:
            time_text, _, text = line.partition(" ")
            stamp = _sortable(time_text)
            if stamp < before:
                continue
            if stamp == before and to_skip:
                to_skip -= 1
                continue
            if stamp >= self._last:
                self._written = self._written + 1 if stamp == self._last else 1
                self._last = stamp
            self._write(self._prefix + text)

    def _has_ended(self) -> bool:
        metadata = self._pod["metadata"]
        try:
            now = self._api.get_or_none(path_of("Pod", metadata["namespace"], metadata["name"]))
        except ClusterError:
            return False
        same = now is not None and now["metadata"]["uid"] == metadata["uid"]
        return not same or now["status"].get("phase") in ("Succeeded", "Failed")  # type: ignore[index]


def _sortable(time_text: str) -> str:
    """RFC 3339 drops zeros at the end of the fraction; with them texts sort as times do."""
    seconds, _, fraction = time_text.rstrip("Z").partition(".")
    return f"{seconds}.{fraction:0<9}"


def _pods(api: Api, namespace: str, name: str, query: LogQuery) -> list[Json]:
    pods = list_pods(api, namespace, name, ended_well=True)
    if query.index is not None:
        pods = [pod for pod in pods if index_of(pod) == str(query.index)]
    return sorted(pods, key=lambda pod: (run_label(pod), int(index_of(pod) or 0), pod["metadata"]["creationTimestamp"]))


def index_of(pod: Json) -> str:
    labels = pod["metadata"].get("labels", {})
    return next((labels[name] for name in INDEX_LABELS if name in labels), "")


def _is_shared(states: list[RunState]) -> bool:
    return len(states) > 1 or any(state.wanted > 1 for state in states)


def _prefix(pod: Json, pods: int) -> str:
    return f"[{pod['metadata']['name']}] " if pods > 1 else ""


def _has_started(pod: Json) -> bool:
    containers = pod["status"].get("containerStatuses") or ()
    return any(
        "waiting" not in (each.get("state") or {"waiting": {}}) or each.get("restartCount") for each in containers
    )


def _asked(query: LogQuery) -> dict[str, str | int]:
    asked: dict[str, str | int] = {}
    if query.since_seconds is not None:
        asked["sinceSeconds"] = query.since_seconds
    if query.tail is not None:
        asked["tailLines"] = query.tail
    if query.previous:
        asked["previous"] = "true"
    return asked


def _read(api: Api, pod: Json, asked: dict[str, str | int]) -> Iterator[str]:
    """A container that has not started has said nothing yet."""
    metadata = pod["metadata"]
    container = pod["spec"]["containers"][0]["name"]
    path = path_of("Pod", metadata["namespace"], metadata["name"]) + "/log"
    try:
        yield from api.lines(path, container=container, **asked)
    except RefusedError as error:
        if error.status not in (400, 404):
            raise
