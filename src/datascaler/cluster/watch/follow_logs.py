"""What the pods of a run say until it has ended, through broken streams, restarts and pods that come later."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from threading import Event, Thread

from datascaler.cluster.kube.api import Api, is_passing
from datascaler.cluster.kube.api_paths import Json, path_of
from datascaler.cluster.watch.logs import LogQuery, asked_of, pods_of, prefix_of, read_log
from datascaler.cluster.watch.state import RunState
from datascaler.cluster.watch.wait import is_over, look_again, patiently
from datascaler.errors import ClusterError

_PAUSE_SECONDS = 2.0
_LAST_WORDS_SECONDS = 30.0
"""How long the pods of a run that has ended are listened to, all of them together."""
_GONE = "Gone"


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
    waiting = api.impatient()
    ears = _Ears(waiting, query, write)
    states: list[RunState] = []
    try:
        while True:
            # States first: a pod that ended in between is still among the pods of this round.
            states = look_again(api, namespace, name, states, deadline)
            for pod in patiently(partial(pods_of, waiting, namespace, name, query, states), deadline) or ():
                ears.listen(pod, prefix_of(pod, _is_shared(states, query)))
            if all(state.state.is_final for state in states):
                ears.hear_out()
                return states
            if is_over(deadline):
                return states
            ears.wait(_PAUSE_SECONDS)
    finally:
        ears.close()


class _Ears:
    """A thread for each pod that has started. What goes wrong in one of them is raised in the thread that waits."""

    def __init__(self, api: Api, query: LogQuery, write: Callable[[str], None]) -> None:
        self._api, self._query, self._write = api, query, write
        self._threads: dict[str, Thread] = {}
        self._errors: list[Exception] = []
        self._stopped = Event()

    def listen(self, pod: Json, prefix: str) -> None:
        uid, name = pod["metadata"]["uid"], pod["metadata"]["name"]
        if uid in self._threads or not _has_started(pod):
            return
        follower = _Follower(self._api, pod, prefix, self._query, self._write, self._stopped)
        self._threads[uid] = Thread(target=self._run, args=(follower,), name=name, daemon=True)
        self._threads[uid].start()

    def wait(self, seconds: float) -> None:
        self._stopped.wait(seconds)
        if self._errors:
            raise self._errors[0]

    def hear_out(self) -> None:
        until = time.monotonic() + _LAST_WORDS_SECONDS
        for thread in self._threads.values():
            thread.join(max(0.0, until - time.monotonic()))
        self.wait(0)

    def close(self) -> None:
        self._stopped.set()

    def _run(self, follower: "_Follower") -> None:
        try:
            follower()
        except Exception as error:  # a reader of stdout that is gone, most of all
            self._errors.append(error)
            self._stopped.set()


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
        asked = asked_of(self._query)
        while not self._stopped.is_set():
            is_whole = True
            try:
                asked |= {"follow": "true", "timestamps": "true"}
                with closing(read_log(self._api, self._pod, asked)) as lines:
                    self._take(lines)
            except ClusterError as error:
                if not is_passing(error):
                    raise
                is_whole = False
            phase = self._phase()
            if phase == _GONE or (is_whole and phase in ("Succeeded", "Failed")):
                return
            if self._last:
                # Seconds only: the server's filter is coarse, so lines that were written already are dropped here.
                asked = {"sinceTime": self._last[:19] + "Z"}
            self._stopped.wait(_PAUSE_SECONDS)

    def _take(self, lines: Iterator[str]) -> None:
        """Write those that came neither in a stream before nor at the same time as the last of them. Inside a stream
        times may be equal, or run backwards by a little: stdout and stderr are two pipes."""
        before, to_skip = self._last, self._written
        for line in lines:
            if self._stopped.is_set():
                return
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

    def _phase(self) -> str:
        """Empty while the server is away."""
        metadata = self._pod["metadata"]
        try:
            now = self._api.get_or_none(path_of("Pod", metadata["namespace"], metadata["name"]))
        except ClusterError:
            return ""
        if now is None or now["metadata"]["uid"] != metadata["uid"]:
            return _GONE
        return str(now["status"].get("phase", ""))


def _sortable(time_text: str) -> str:
    """RFC 3339 drops zeros at the end of the fraction; with them texts sort as times do."""
    seconds, _, fraction = time_text.rstrip("Z").partition(".")
    return f"{seconds}.{fraction:0<9}"


def _has_started(pod: Json) -> bool:
    containers = pod["status"].get("containerStatuses") or ()
    return any(
        "waiting" not in (each.get("state") or {"waiting": {}}) or each.get("restartCount") for each in containers
    )


def _is_shared(states: list[RunState], query: LogQuery) -> bool:
    """Whether lines of several pods may come; a pipeline's steps do later."""
    if len(states) > 1 or states[0].verb == "pipeline":
        return True
    return query.index is None and states[0].wanted > 1
