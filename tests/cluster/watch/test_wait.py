"""Waiting: until all runs have ended, the time is over, or they are gone; and what that means as an exit code."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from datascaler.cluster.kube.api import Api
from datascaler.cluster.kube.api_paths import path_of
from datascaler.cluster.watch.state import RunState, State, run_state
from datascaler.cluster.watch.wait import exit_code, look_again, summary_line, wait_for
from datascaler.errors import ClusterError, RefusedError, RunNotFoundError
from tests.cluster.replay import Answer, Query, Replay, recorded_answer, recorded_run

JOBS = path_of("Job", "ml")


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What happens in each pause, in place of time going by; more pauses than that are an error."""
    acts: list[Any] = []
    monkeypatch.setattr("datascaler.cluster.watch.wait.time.sleep", lambda _seconds: acts.pop(0)())
    return acts


def state(name: str, is_now: State, **more: Any) -> RunState:
    fields: dict[str, Any] = {"wanted": 1, "active": 0, "succeeded": 0, "failed": 0, "verb": "train", "kind": "Job"}
    return RunState(name=name, namespace="ml", group="g", state=is_now, **fields | more)


def test_until_it_has_ended(server: Replay, api: Api, pauses: list[Any]) -> None:
    server.add_run("running")
    ended = {"status": recorded_run("complete")["run"]["status"]}
    pauses += [lambda: None, lambda: server.objects[JOBS][0].update(ended)]
    said: list[str] = []
    [found] = wait_for(api, "ml", "running", say=said.append)
    assert found.state == State.SUCCEEDED
    # What has not changed is not said again.
    assert said == ["running (0 of 2 done)", "succeeded (3 of 2 done)"]


def test_until_the_time_is_over(server: Replay, api: Api, pauses: list[Any]) -> None:
    server.add_run("running")
    [found] = wait_for(api, "ml", "running", timeout=0)
    assert exit_code([found]) == 101
    assert pauses == []


def test_a_run_that_is_deleted_meanwhile_was_cancelled(server: Replay, api: Api, pauses: list[Any]) -> None:
    server.add_run("running")
    pauses.append(server.objects[JOBS].clear)
    said: list[str] = []
    states = wait_for(api, "ml", "running", say=said.append)
    assert [(each.state, each.reason) for each in states] == [(State.CANCELLED, "deleted")]
    assert exit_code(states) == 103
    assert said[-1] == "cancelled (0 of 2 done): deleted"


@pytest.mark.parametrize(
    ("codes", "ended"),
    [
        ({"running-0-abcde.20260101T000000Z": "0", "running-1-abcde.20260101T000000Z": "0"}, State.SUCCEEDED),
        ({"running-0-abcde.20260101T000000Z": "0", "running-1-abcde.20260101T000000Z": "1"}, State.CANCELLED),
        ({"running-0-abcde.20260101T000000Z": "0", "running-0-fghij.20260101T000001Z": "0"}, State.CANCELLED),
        ({}, State.CANCELLED),
        (None, State.GONE),
    ],
    ids=["complete", "one failed", "one is missing", "none", "unreadable"],
)
def test_of_a_run_that_is_gone_what_its_pods_left_decides(
    codes: dict[str, str] | None, ended: State, server: Replay, api: Api, tmp_path: Path
) -> None:
    """Its time to live may have passed between two looks; absence is no intent."""
    run = server.add_run("running")
    folder = tmp_path / "running"
    (folder / "codes").mkdir(parents=True)
    for name, code in (codes or {}).items():
        (folder / f"{name}.log").write_text("a line\n")
        (folder / "codes" / f"{name}.code").write_text(code + "\n")
    logs = str(folder) if codes is not None else "nowhere://logs/running"
    run["metadata"]["annotations"] = {"datascaler/values": json.dumps({"logs": logs})}
    before = look_again(api, "ml", "running", [])
    server.objects.clear()
    [found] = look_again(api, "ml", "running", before)
    assert found.state == ended


def test_a_run_that_is_deleted_after_its_end_has_ended_so(server: Replay, api: Api) -> None:
    server.add_run("complete")
    before = look_again(api, "ml", "complete", [])
    server.objects.clear()
    assert look_again(api, "ml", "complete", before) == before


def test_a_run_that_never_was(server: Replay, api: Api) -> None:
    with pytest.raises(RunNotFoundError):
        wait_for(api, "ml", "other")
    assert server.asked


def test_a_server_that_is_away_for_a_while_is_waited_for(server: Replay, api: Api, pauses: list[Any]) -> None:
    server.add_run("complete")
    before = look_again(api, "ml", "complete", [])
    settings = api._client.configuration
    away, here = "http://127.0.0.1:1", settings.host
    settings.host = away
    pauses += [lambda: None, lambda: setattr(settings, "host", here)]
    assert look_again(api, "ml", "complete", before)[0].state == State.SUCCEEDED
    # But not before the run has been seen at all, nor for ever.
    settings.host = away
    with pytest.raises(ClusterError, match="no answer from the API server"):
        look_again(api, "ml", "complete", [])


def test_a_server_that_stays_away_is_an_error(server: Replay, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    server.add_run("complete")
    before = look_again(api, "ml", "complete", [])
    api._client.configuration.host = "http://127.0.0.1:1"
    monkeypatch.setattr("datascaler.cluster.watch.wait._SILENCE_SECONDS", 0)
    with pytest.raises(ClusterError, match="no answer from the API server"):
        look_again(api, "ml", "complete", before)


def test_a_refusal_that_stays_is_an_error(server: Replay, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datascaler.cluster.watch.wait._REFUSED_SECONDS", 0)
    server.add_run("running")
    before = look_again(api, "ml", "running", [])

    def refuse(_method: str, _path: str, _query: Query, _body: Any) -> Answer | None:
        return recorded_answer("forbidden")

    server.answers.append(refuse)
    with pytest.raises(RefusedError):
        look_again(api, "ml", "running", before)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_busy_server_is_waited_for(status: int, server: Replay, api: Api, pauses: list[Any]) -> None:
    server.add_run("complete")
    before = look_again(api, "ml", "complete", [])
    server.answer("GET", "/*", status, {"message": "try again"})
    pauses += [lambda: None, server.answers.clear]
    assert look_again(api, "ml", "complete", before)[0].state == State.SUCCEEDED
    assert pauses == []


@pytest.mark.parametrize("status", [401, 403])
def test_a_server_that_was_restarted_may_refuse_what_it_has_allowed(
    status: int, server: Replay, api: Api, pauses: list[Any]
) -> None:
    """kubernetes #121635: it answers before it knows tokens and rights again."""
    server.add_run("complete")
    before = look_again(api, "ml", "complete", [])
    server.answer("GET", "/*", status, {"message": "forbidden"})
    pauses += [lambda: None, lambda: None, server.answers.clear]
    assert look_again(api, "ml", "complete", before)[0].state == State.SUCCEEDED
    assert pauses == []


@pytest.mark.parametrize("status", [0, 503])
def test_the_time_is_over_also_while_the_server_is_away(
    status: int, server: Replay, api: Api, pauses: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    server.add_run("running")

    def go_away() -> None:
        if status:
            server.answer("GET", "/*", status, {"message": "try again"})
        else:
            api._client.configuration.host = "http://127.0.0.1:1"

    pauses += [go_away, lambda: None]
    # After the first look; after the first and the second failed one, and for good.
    over = [False, False, True, True]
    monkeypatch.setattr("datascaler.cluster.watch.wait.is_over", lambda deadline: deadline is not None and over.pop(0))
    [found] = wait_for(api, "ml", "running", timeout=60)
    assert (found.state, pauses, over) == (State.RUNNING, [], [])


@pytest.mark.parametrize(
    ("states", "code"),
    [
        ([State.SUCCEEDED], 0),
        ([State.FAILED], 100),
        ([State.CANCELLED], 103),
        ([State.PARTLY_FAILED], 104),
        *[([each], 101) for each in (State.PENDING, State.QUEUED, State.SUSPENDED, State.RUNNING, State.RESTARTING)],
        ([State.SUCCEEDED, State.SUCCEEDED], 0),
        ([State.FAILED, State.FAILED], 100),
        ([State.FAILED, State.RUNNING, State.SUCCEEDED], 101),
        ([State.FAILED, State.SUCCEEDED], 104),
        ([State.SUCCEEDED, State.CANCELLED], 103),
        ([State.FAILED, State.CANCELLED], 104),
        ([State.PARTLY_FAILED, State.SUCCEEDED], 104),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, list) else "",
)
def test_exit_codes(states: Sequence[State], code: int) -> None:
    assert exit_code([state(f"r{number}", each) for number, each in enumerate(states)]) == code


@pytest.mark.parametrize("driver", list(State))
def test_a_pipelines_driver_answers_for_its_steps(driver: State) -> None:
    steps = [state("p-score", State.FAILED), state("p-train", State.RUNNING)]
    assert exit_code([state("p", driver, verb="pipeline"), *steps]) == driver.exit_code


@pytest.mark.parametrize(
    ("states", "line"),
    [
        ([state("a", State.RUNNING, active=2, wanted=3)], "running (2 of 3 workers)"),
        ([state("a", State.SUCCEEDED)], "succeeded"),
        ([state("a", State.RUNNING, verb="score", succeeded=1200, wanted=10_000)], "running (1,200 of 10,000 done)"),
        (
            [state("a", State.PARTLY_FAILED, verb="eval", succeeded=3, failed=1, wanted=4, reason="why")],
            "partly failed (3 of 4 done, 1 failed): why",
        ),
        (
            [state("a", State.SUCCEEDED), state("b", State.PENDING, reason="why"), state("c", State.SUCCEEDED)],
            "1 pending, 2 succeeded; b: why",
        ),
    ],
    ids=["train", "ended", "score", "some", "list"],
)
def test_a_line_for_people(states: list[RunState], line: str) -> None:
    assert summary_line(states) == line


def test_states_of_what_is_recorded_need_no_server() -> None:
    assert run_state(recorded_run("no-gpu")["run"]).state == State.PENDING
