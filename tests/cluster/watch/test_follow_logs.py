"""What pods say, followed to the end: through pods that come later, restarts, broken streams and failures."""

import time
from collections.abc import Callable, Iterator
from threading import Event
from typing import Any

import pytest

from datascaler.cluster.kube.api import Api
from datascaler.cluster.kube.api_paths import path_of
from datascaler.cluster.watch.follow_logs import follow_logs
from datascaler.cluster.watch.logs import LogQuery
from datascaler.cluster.watch.state import State
from datascaler.errors import RefusedError, RunNotFoundError
from tests.cluster.replay import CUT, Answer, Query, Replay, recorded_answer, recorded_run

JOBS, PODS = path_of("Job", "ml"), path_of("Pod", "ml")
EVERYTHING = LogQuery()


class Followed:
    """A run whose pod speaks in several connections, one after another; it ends well as the last of them begins, or as
    the last `left` begin."""

    def __init__(self, server: Replay, streams: list[Any], left: int = 1) -> None:
        self.asked: list[Query] = []
        self._left = left
        self._server, self._streams = server, streams
        found = recorded_run("running")
        server.add(found["run"])
        self.pod = found["pods"][0]
        server.add(self.pod)
        server.answers.append(self._answer)

    def _answer(self, _method: str, path: str, query: Query, _body: Any) -> Answer | None:
        if not path.endswith("/log"):
            return None
        self.asked.append(query)
        if len(self._streams) == self._left:
            self.end()
        stream = self._streams.pop(0)
        return stream if isinstance(stream, tuple) else (200, stream)

    def end(self) -> None:
        for pod in self._server.objects[PODS]:
            pod["status"] = pod["status"] | {"phase": "Succeeded"}
        complete = recorded_run("complete")["run"]["status"]
        self._server.objects[JOBS][0]["status"] = complete


@pytest.fixture
def follow(api: Api, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    for module in ("follow_logs", "wait"):
        monkeypatch.setattr(f"datascaler.cluster.watch.{module}._PAUSE_SECONDS", 0.01)

    def act(name: str = "running", query: LogQuery = EVERYTHING, timeout: float | None = 60) -> list[str]:
        lines: list[str] = []
        states = follow_logs(api, "ml", name, query, lines.append, timeout=timeout)
        lines.append(f"= {states[0].state}")
        return lines

    return act


def test_lines_until_the_run_has_ended(server: Replay, follow: Callable[..., list[str]]) -> None:
    followed = Followed(server, [["2026-01-01T00:00:00.1Z one\n", "2026-01-01T00:00:00.2Z two words \n"]])
    prefix = f"[{followed.pod['metadata']['name']}] "
    assert follow() == [f"{prefix}one", f"{prefix}two words ", "= succeeded"]
    assert followed.asked == [{"container": "datascaler", "follow": "true", "timestamps": "true"}]


def test_one_index_alone_needs_no_name(server: Replay, follow: Callable[..., list[str]]) -> None:
    followed = Followed(server, [["2026-01-01T00:00:00.1Z one\n"]])
    assert follow(query=LogQuery(index=0, tail=3)) == ["one", "= succeeded"]
    assert followed.asked[0]["tailLines"] == "3"


def test_a_broken_stream_goes_on_without_a_line_lost_or_said_twice(
    server: Replay, follow: Callable[..., list[str]]
) -> None:
    """The server drops zeros at the end of a fraction, and its filter knows seconds only."""
    followed = Followed(
        server,
        [
            ["2026-01-01T00:00:07.12Z one\n2026-01-01T00:00:07.123456789Z two\n2026-01-01T00:00:0", CUT],
            ["2026-01-01T00:00:07.12Z one\n2026-01-01T00:00:07.123456789Z two\n", CUT],
            (500, "the kubelet is away"),
            ["2026-01-01T00:00:07.123456789Z two\n2026-01-01T00:00:07.2Z three\n2026-01-01T00:00:08Z four\n"],
        ],
    )
    assert [line.rpartition(" ")[2] for line in follow()] == ["one", "two", "three", "four", "succeeded"]
    assert [query.get("sinceTime") for query in followed.asked] == [None, *["2026-01-01T00:00:07Z"] * 3]


def test_a_container_that_was_restarted_is_followed_on(server: Replay, follow: Callable[..., list[str]]) -> None:
    """Its log begins anew, later."""
    streams = [["2026-01-01T00:00:01Z first life\n"], ["2026-01-01T00:00:09Z second life\n"]]
    Followed(server, streams)
    assert [line.partition("] ")[2] for line in follow()[:2]] == ["first life", "second life"]


def test_lines_of_the_same_moment_are_all_said(server: Replay, follow: Callable[..., list[str]]) -> None:
    stamp = "2026-01-01T00:00:01.000000001Z"
    one, two, three = (f"{stamp} {word}\n" for word in ("one", "two", "two"))
    Followed(server, [[one, two, CUT], [one, two, three]])
    assert [line.rpartition(" ")[2] for line in follow()] == ["one", "two", "two", "succeeded"]


def test_times_that_run_backwards_lose_no_line(server: Replay, follow: Callable[..., list[str]]) -> None:
    """stdout and stderr are two pipes."""
    Followed(server, [["2026-01-01T00:00:01.2Z out\n2026-01-01T00:00:01.1Z error\n2026-01-01T00:00:02Z end\n"]])
    assert [line.rpartition(" ")[2] for line in follow()] == ["out", "error", "end", "succeeded"]


def test_pods_that_are_created_later_are_followed_too(server: Replay, follow: Callable[..., list[str]]) -> None:
    """The first pod is lost; another takes its index under a new name."""
    followed = Followed(server, [["2026-01-01T00:00:01Z first\n", CUT], ["2026-01-01T00:00:09Z again\n"]])
    again = recorded_run("running")["pods"][1]
    again["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"] = "0"
    speak = server.answers.pop()

    def answer(method: str, path: str, query: Query, body: Any) -> Answer | None:
        said = speak(method, path, query, body)
        if said is not None and len(followed.asked) == 1:
            server.objects[PODS][:] = [again]
        return said

    server.answers.append(answer)
    first, second = followed.pod["metadata"]["name"], again["metadata"]["name"]
    lines = follow()
    assert lines == [f"[{first}] first", f"[{second}] again", "= succeeded"]


def test_following_ends_with_the_time(server: Replay, follow: Callable[..., list[str]]) -> None:
    run = server.add_run("no-gpu")
    assert run["status"]["active"] == 1
    assert follow("no-gpu", timeout=0) == ["= pending"]
    # A pod that has not started is not asked.
    assert not [path for path, _, _ in server.requests("GET") if path.endswith("/log")]


def test_following_says_how_a_run_ended_that_was_deleted(server: Replay, follow: Callable[..., list[str]]) -> None:
    server.add_run("no-gpu")
    looked = []

    def disappear(_method: str, path: str, _query: Query, _body: Any) -> Answer | None:
        looked.append(path)
        if path == PODS:
            server.objects[JOBS].clear()
        return None

    server.answers.append(disappear)
    assert follow("no-gpu") == [f"= {State.CANCELLED}"]


def test_what_never_was_can_not_be_followed(follow: Callable[..., list[str]]) -> None:
    with pytest.raises(RunNotFoundError):
        follow("other")


def test_last_words_are_heard_though_the_stream_broke_as_the_pod_ended(
    server: Replay, follow: Callable[..., list[str]]
) -> None:
    streams = [
        ["2026-01-01T00:00:01Z one\n2026-01-01T00:0", CUT],
        ["2026-01-01T00:00:01Z one\n2026-01-01T00:00:02Z last\n"],
    ]
    Followed(server, streams, left=2)
    assert [line.rpartition(" ")[2] for line in follow()] == ["one", "last", "succeeded"]


def test_a_list_of_pods_that_fails_ends_nothing(server: Replay, follow: Callable[..., list[str]]) -> None:
    Followed(server, [["2026-01-01T00:00:01Z one\n"]])
    failures = [503, 500, 429]

    def fail(_method: str, path: str, query: Query, _body: Any) -> Answer | None:
        # Following asks for pods that ended well too.
        return (failures.pop(), {}) if path == PODS and "fieldSelector" not in query and failures else None

    server.answers.append(fail)
    assert [line.rpartition(" ")[2] for line in follow()] == ["one", "succeeded"]
    assert failures == []


def test_who_may_not_read_logs_is_told(server: Replay, follow: Callable[..., list[str]]) -> None:
    Followed(server, [recorded_answer("forbidden")], left=0)
    with pytest.raises(RefusedError, match=r"\(403\)"):
        follow()


def test_a_reader_that_is_gone_ends_it(server: Replay, api: Api) -> None:
    """Though the pod goes on and other pods are silent."""
    streams: list[Any] = [[f"2026-01-01T00:00:0{number}Z {number}\n" for number in range(9)]]
    Followed(server, streams, left=0)

    def write(line: str) -> None:
        assert line.endswith(" 0")
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        follow_logs(api, "ml", "running", EVERYTHING, write, timeout=60)


def test_pods_that_do_not_end_are_waited_for_together(
    server: Replay, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datascaler.cluster.watch.follow_logs._LAST_WORDS_SECONDS", 1.0)
    server.add_run("complete")
    ended = Event()

    def stuck() -> Iterator[str]:
        yield "2026-01-01T00:00:01Z one\n"
        ended.wait(60)

    server.answers.append(lambda _method, path, _query, _body: (200, stuck()) if path.endswith("/log") else None)
    lines: list[str] = []
    started = time.monotonic()
    follow_logs(api, "ml", "complete", EVERYTHING, lines.append)
    assert time.monotonic() - started < 2.5
    assert len(lines) == 3
    ended.set()
