"""State and reason of recorded PyTorchJobs, which the operator would start again and again, and of runs in a queue.

The Workload is written by hand, after Kueue's documented API (kueue.x-k8s.io/v1beta1): no Kueue could be recorded.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from datascaler.cluster.kube.api import Api
from datascaler.cluster.kube.api_paths import path_of
from datascaler.cluster.watch.reason import permanent_failure
from datascaler.cluster.watch.state import RunState, State
from datascaler.cluster.watch.status import find_cluster_runs, look
from tests.cluster.replay import Replay, recorded, recorded_answer, recorded_run
from tests.cluster.watch.test_status import look_like

RECORDED = datetime(2026, 11, 24, 12, 32, 30, tzinfo=UTC)
"""When the answers were taken."""
PERMANENT = (
    "worker-wrong-worker-0 ended with 78 (wrong configuration): datascaler: error: s3://nowhere/pool does not exist"
)
RUNS = [
    ("workers-run", State.RUNNING, 101, ""),
    ("workers-done", State.SUCCEEDED, 0, ""),
    ("worker-wrong", State.FAILED, 100, f"{PERMANENT}; `datascaler cancel worker-wrong` frees its pods"),
    (
        "worker-crash",
        State.RUNNING,
        101,
        "1 of 1 pods are not running: worker-crash-worker-0 ended with 1: CUDA is gone",
    ),
    ("workers-wait", State.PENDING, 101, "unschedulable: 0/1 nodes are available: 1 Insufficient nvidia.com/gpu."),
    ("workers-held", State.SUSPENDED, 101, "created with --suspend"),
    (
        "worker-late",
        State.FAILED,
        100,
        "PyTorchJobFailed: Job worker-late has failed because it was active longer than",
    ),
]


@pytest.fixture
def server(server: Replay) -> Replay:
    server.has_operator = True
    return server


def look_at(server: Replay, api: Api, name: str) -> RunState:
    run = server.add_run(name)
    [state] = look(api, find_cluster_runs(api, run["metadata"]["namespace"], name), RECORDED)
    assert "\n" not in state.reason
    return state


@pytest.mark.parametrize(("name", "is_now", "exit_code", "reason"), RUNS)
def test_pytorchjobs(name: str, is_now: State, exit_code: int, reason: str, server: Replay, api: Api) -> None:
    found = look_at(server, api, name)
    assert (found.state, found.state.exit_code) == (is_now, exit_code)
    assert found.reason.startswith(reason)
    assert bool(found.reason) == bool(reason)


def test_every_recorded_pytorchjob_is_looked_at() -> None:
    kinds = {each["name"]: each["run"]["kind"] for each in recorded("runs.json.gz")["runs"]}
    assert {name for name, *_ in RUNS} == {name for name, kind in kinds.items() if kind == "PyTorchJob"}


def test_what_a_run_is(server: Replay, api: Api) -> None:
    run = look_at(server, api, "workers-run")
    assert (run.kind, run.verb, run.wanted, run.active, run.succeeded) == ("PyTorchJob", "train", 2, 2, 0)
    done = look_at(server, api, "workers-done")
    assert (done.wanted, done.active, done.succeeded) == (2, 0, 2)
    late = look_at(server, api, "worker-late")
    assert late.started < late.finished
    assert done.finished


def restarted(seconds: float) -> dict[str, Any]:
    """The pod that ended with 78, started again so long ago."""
    pod: dict[str, Any]
    [pod] = recorded_run("worker-wrong")["pods"]
    [container] = pod["status"]["containerStatuses"]
    ended = container["state"].get("terminated") or container["lastState"]["terminated"]
    assert ended["exitCode"] == 78
    started = (RECORDED - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
    container |= {"state": {"running": {"startedAt": started}}, "lastState": {"terminated": ended}}
    pod["status"]["phase"] = "Running"
    return pod


@pytest.mark.parametrize(("seconds", "is_loop"), [(0, True), (30, True), (59, True), (61, False), (9999, False)])
def test_a_worker_that_was_wrong_once_and_runs_now_has_not_failed(seconds: float, is_loop: bool) -> None:
    assert permanent_failure([restarted(seconds)], RECORDED) == (PERMANENT if is_loop else "")


def test_a_worker_waits_in_its_crash_loop_as_long_as_it_likes() -> None:
    pod = restarted(0)
    pod["status"]["containerStatuses"][0]["state"] = {"waiting": {"reason": "CrashLoopBackOff"}}
    assert permanent_failure([pod], RECORDED + timedelta(days=1)) == PERMANENT


def test_a_run_is_running_when_the_worker_has_settled(server: Replay, api: Api) -> None:
    server.add(recorded_run("worker-wrong")["run"], restarted(600))
    [state] = look(api, find_cluster_runs(api, "ml", "worker-wrong"), RECORDED)
    assert (state.state, state.reason) == (State.RUNNING, "")


def test_running_by_the_operators_word_only_is_pending(server: Replay, api: Api) -> None:
    """It leaves the condition when the pods are gone again."""
    found = recorded_run("workers-run")
    waiting = recorded_run("workers-wait")["pods"][0]
    server.add(
        found["run"], look_like(waiting, {"app.kubernetes.io/instance": "workers-run", "datascaler/run": "workers-run"})
    )
    [state] = look(api, find_cluster_runs(api, "ml", "workers-run"))
    assert state.state == State.PENDING
    assert state.reason.startswith("unschedulable: ")


def test_both_kinds_of_runs_are_found(server: Replay, api: Api) -> None:
    for name in ("complete", "workers-done"):
        server.add(look_like(recorded_run(name)["run"], {"app.kubernetes.io/instance": "list"}))
    assert {state.kind for state in look(api, find_cluster_runs(api, "ml", "list"))} == {"Job", "PyTorchJob"}


# ---- Kueue -----------------------------------------------------------------------------------------------------


def workload(run: dict[str, Any], *conditions: tuple[str, str, str, str]) -> dict[str, Any]:
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": run["metadata"]["name"], "uid": run["metadata"]["uid"]}
    names = ("type", "status", "reason", "message")
    return {
        "apiVersion": "kueue.x-k8s.io/v1beta1",
        "kind": "Workload",
        "metadata": {"name": "job-suspended-a1b2c", "namespace": "ml", "ownerReferences": [owner]},
        "spec": {"queueName": "team-a", "active": True},
        "status": {"conditions": [dict(zip(names, each, strict=True)) for each in conditions]},
    }


@pytest.fixture
def queued(server: Replay) -> dict[str, Any]:
    run = look_like(recorded_run("suspended")["run"], {"kueue.x-k8s.io/queue-name": "team-a"})
    server.add(run)
    return run


NO_ROOM = ("QuotaReserved", "False", "Pending", "couldn't assign flavors to pod set main:\ninsufficient unused quota")
HAS_ROOM = ("QuotaReserved", "True", "QuotaReserved", "Quota reserved in ClusterQueue team-a")
CHECKED = ("Admitted", "False", "NoChecks", "The workload has not all checks ready")
EVICTED = ("Evicted", "True", "Preempted", "Preempted to accommodate a workload of higher priority")
CAME_BACK = ("Evicted", "False", "QuotaReserved", "Previously: Preempted to accommodate another")


@pytest.mark.parametrize(
    ("conditions", "reason"),
    [
        ([NO_ROOM], "couldn't assign flavors to pod set main: insufficient unused quota"),
        ([HAS_ROOM, CHECKED], "The workload has not all checks ready"),
        ([NO_ROOM, EVICTED], "Preempted to accommodate a workload of higher priority"),
        ([CAME_BACK, NO_ROOM], "couldn't assign flavors to pod set main: insufficient unused quota"),
        ([], "waits in queue team-a"),
    ],
    ids=["quota", "check", "evicted", "evicted once", "silent"],
)
def test_a_run_in_a_queue_says_what_kueue_says(
    conditions: list[tuple[str, str, str, str]], reason: str, queued: dict[str, Any], server: Replay, api: Api
) -> None:
    other = recorded_run("complete")["run"]
    server.add(workload(other, ("QuotaReserved", "False", "Pending", "of another run")))
    server.add(workload(queued, *conditions))
    [state] = look(api, find_cluster_runs(api, "ml", "suspended"))
    assert (state.state, state.reason) == (State.QUEUED, reason)
    assert state.state.exit_code == 101


@pytest.mark.parametrize("about", ["forbidden", "no such group"])
@pytest.mark.usefixtures("queued")
def test_without_a_word_from_kueue_the_queue_is_named(about: str, server: Replay, api: Api) -> None:
    server.answer("GET", path_of("Workload", "ml"), *recorded_answer(about))
    [state] = look(api, find_cluster_runs(api, "ml", "suspended"))
    assert (state.state, state.reason) == (State.QUEUED, "waits in queue team-a")
