"""State, reason and exit code of recorded runs, through the real client: each way to wait, end and fail in one line."""

from typing import Any

import pytest

from datascaler.cluster.kube.api import Api
from datascaler.cluster.kube.api_paths import path_of
from datascaler.cluster.kube.chart_values import merged_values
from datascaler.cluster.watch.reason import phase_of
from datascaler.cluster.watch.state import RunState, State, run_state
from datascaler.cluster.watch.status import find_cluster_runs, look
from datascaler.errors import RunNotFoundError
from tests.cluster.replay import Replay, recorded, recorded_run


def look_at(server: Replay, api: Api, name: str, **changes: Any) -> RunState:
    run = server.add_run(name, **changes)
    [state] = look(api, find_cluster_runs(api, run["metadata"]["namespace"], name))
    assert "\n" not in state.reason
    return state


JOBS = [
    ("complete", State.SUCCEEDED, 0, "", ""),
    ("some-failed", State.PARTLY_FAILED, 104, "some-failed-1-", "ended with 65 (bad input): datascaler: error: 3"),
    ("all-failed", State.FAILED, 100, "all-failed-", "ended with 1: out of memory; FailedIndexes: Job has failed"),
    ("wrong-config", State.FAILED, 100, "wrong-config-", "ended with 78 (wrong configuration): datascaler: error: s3://"),
    ("single-failed", State.FAILED, 100, "single-failed-", "ended with 1: no more; BackoffLimitExceeded: "),
    ("too-late", State.FAILED, 100, "DeadlineExceeded: Job was active longer than specified deadline", ""),
    ("suspended", State.SUSPENDED, 101, "created with --suspend", ""),
    ("running", State.RUNNING, 101, "", ""),
    ("no-gpu", State.PENDING, 101, "unschedulable: 0/1 nodes are available: 1 Insufficient nvidia.com/gpu.", ""),
    ("no-image", State.PENDING, 101, "image is not on the node: ", '"localhost/absent:1" is not present'),
    ("no-secret", State.PENDING, 101, "container can't be configured: ", 'secret "absent" not found'),
    ("no-account", State.PENDING, 101, "pods ", 'service account ml/absent: serviceaccount "absent"'),
    ("over-quota", State.PENDING, 101, "pods ", "exceeded quota: full, requested: requests.memory=16Mi, used: "),
]  # fmt: skip


@pytest.mark.parametrize(("name", "state", "exit_code", "begins", "holds"), JOBS)
def test_jobs(name: str, state: State, exit_code: int, begins: str, holds: str, server: Replay, api: Api) -> None:
    found = look_at(server, api, name)
    assert (found.state, found.state.exit_code) == (state, exit_code)
    assert found.reason.startswith(begins)
    assert bool(found.reason) == bool(begins)
    assert holds in found.reason


def test_every_recorded_job_is_looked_at() -> None:
    assert {case[0] for case in JOBS} == {
        each["name"] for each in recorded("runs.json.gz")["runs"] if each["run"]["kind"] == "Job"
    }


def test_what_a_run_is(server: Replay, api: Api) -> None:
    some = look_at(server, api, "some-failed")
    assert (some.name, some.namespace, some.group, some.verb, some.kind) == (
        "some-failed",
        "ml",
        "some-failed",
        "score",
        "Job",
    )
    assert (some.wanted, some.succeeded, some.failed, some.failed_indexes, some.active) == (3, 2, 1, "1", 0)
    assert some.created <= some.started < some.finished


def test_a_reason_of_some_pods_is_said_with_their_number(server: Replay, api: Api) -> None:
    found = recorded_run("running")
    server.add_run("running")
    [pod] = recorded_run("no-gpu")["pods"]
    mine = found["pods"][0]["metadata"]["labels"]
    server.add(pod | {"metadata": pod["metadata"] | {"labels": mine}})
    [state] = look(api, find_cluster_runs(api, "ml", "running"))
    assert state.state == State.RUNNING
    assert state.reason.startswith("1 of 3 pods are not running: unschedulable: 0/1 nodes")


def failed_pods_of(name: str, number: int = 2) -> list[dict[str, Any]]:
    """Evicted at 12:35, and still to be seen."""
    pods = []
    for lost in range(number):
        pod = recorded_run(name)["pods"][0]
        gone = {"type": "DisruptionTarget", "status": "True", "lastTransitionTime": "2026-11-24T12:35:00Z"}
        pod["status"] = {"phase": "Failed", "reason": "Evicted", "message": "no disk", "conditions": [gone]}
        pod["metadata"] |= {"name": f"lost-{lost}", "uid": f"lost-{lost}"}
        pods.append(pod)
    return pods


def test_pods_that_others_have_replaced_are_no_reason(server: Replay, api: Api) -> None:
    server.add(*failed_pods_of("running"))
    found = look_at(server, api, "running")
    assert (found.state, found.active, found.reason) == (State.RUNNING, 2, "")
    assert not any("/events" in path for path, _, _ in server.requests("GET"))


FEWER = {"spec": {"parallelism": 4, "completions": 9}}


def test_pods_that_nothing_has_replaced_are_a_reason(server: Replay, api: Api) -> None:
    server.add(*failed_pods_of("running"))
    found = look_at(server, api, "running", **FEWER)
    assert found.reason == "2 of 4 pods are not running: lost-0: Evicted, no disk"


@pytest.mark.parametrize(("time", "is_news"), [("2026-11-24T12:34:59Z", False), ("2026-11-24T12:36:00Z", True)])
def test_a_quota_that_some_fit_into_is_said(time: str, is_news: bool, server: Replay, api: Api) -> None:
    run = recorded_run("running")["run"]
    for event in recorded_run("over-quota")["events"]:
        event["involvedObject"] |= {"name": "running", "namespace": "ml"}
        event["metadata"]["namespace"] = "ml"
        server.add(event | {"lastTimestamp": time})
    found = look_at(server, api, "running", **FEWER)
    assert found.reason.startswith("2 of 4 pods are not running: pods ")
    assert "exceeded quota: full, requested: requests.memory=16Mi" in found.reason
    # With as many pods as there are parts left, no event is news, nor while pods are being stopped, nor at the end.
    enough = {"conditions": [{"type": "SuccessCriteriaMet", "status": "True"}]}
    for less in ({"spec": {"parallelism": 4}}, FEWER | {"status": {"terminating": 2}}, FEWER | {"status": enough}):
        server.objects[path_of("Job", "ml")] = [merged_values(run, less)]
        assert look(api, find_cluster_runs(api, "ml", "running"))[0].reason == ""
    server.objects[path_of("Job", "ml")] = [merged_values(run, FEWER)]
    server.add(*failed_pods_of("running"))
    [state] = look(api, find_cluster_runs(api, "ml", "running"))
    assert ("exceeded quota" in state.reason) is is_news
    assert ("Evicted" in state.reason) is not is_news


DELETED = {"deletionTimestamp": "2026-11-24T00:00:00Z"}


def test_a_run_that_is_being_deleted_is_cancelled(server: Replay, api: Api) -> None:
    state = look_at(server, api, "running", metadata=DELETED)
    assert (state.state, state.reason) == (State.CANCELLED, "being deleted")


def test_a_run_that_is_being_deleted_after_its_end_has_ended_so(server: Replay, api: Api) -> None:
    for name in ("complete", "some-failed"):
        assert look_at(server, api, name, metadata=DELETED).state.exit_code == {"complete": 0}.get(name, 104)


def test_the_reason_of_a_lost_pod(server: Replay, api: Api) -> None:
    """Its container never said how it ended."""
    server.add(recorded_run("single-failed")["run"])
    [pod] = recorded_run("single-failed")["pods"]
    pod["status"] = {"phase": "Failed", "reason": "Evicted", "message": "The node was low on\nresource: memory."}
    server.add(pod)
    [state] = look(api, find_cluster_runs(api, "ml", "single-failed"))
    name = pod["metadata"]["name"]
    assert state.reason.startswith(f"{name}: Evicted, The node was low on resource: memory.; BackoffLimitExceeded")


# ---- finding ---------------------------------------------------------------------------------------------------


def test_a_run_that_is_not_there(server: Replay, api: Api) -> None:
    server.add_run("running")
    with pytest.raises(
        RunNotFoundError, match=r"no run ml/other; it may have been deleted .*datascaler list"
    ) as missing:
        find_cluster_runs(api, "ml", "other")
    assert missing.value.exit_code == 102


def test_runs_of_a_list_are_found_by_its_name_and_by_their_own(server: Replay, api: Api) -> None:
    for name in ("complete", "running", "no-gpu"):
        labels = {"app.kubernetes.io/instance": "list", "datascaler/run": name}
        server.add(look_like(recorded_run(name)["run"], labels))
    states = {state.name: state.state for state in look(api, find_cluster_runs(api, "ml", "list"))}
    assert states == {"complete": State.SUCCEEDED, "running": State.RUNNING, "no-gpu": State.PENDING}
    [one] = look(api, find_cluster_runs(api, "ml", "no-gpu"))
    assert (one.name, one.group) == ("no-gpu", "list")


def test_a_pipeline_is_its_driver_and_its_steps(server: Replay, api: Api) -> None:
    server.add(look_like(recorded_run("single-failed")["run"], {"app.kubernetes.io/component": "pipeline"}))
    server.add(look_like(recorded_run("complete")["run"], {"datascaler/pipeline": "single-failed"}))
    server.add(look_like(recorded_run("running")["run"], {"datascaler/pipeline": "other"}))
    assert [each["metadata"]["name"] for each in find_cluster_runs(api, "ml", "single-failed")] == [
        "single-failed",
        "complete",
    ]


def look_like(thing: dict[str, Any], labels: dict[str, str]) -> dict[str, Any]:
    return thing | {"metadata": thing["metadata"] | {"labels": thing["metadata"]["labels"] | labels}}


def test_pages_and_not_runs_decide_how_many_requests_there_are(server: Replay, api: Api) -> None:
    run = recorded_run("complete")["run"]
    for number in range(1000):
        labels = {"app.kubernetes.io/instance": "list", "datascaler/run": f"r{number}"}
        one = look_like(run, labels)
        server.add(one | {"metadata": one["metadata"] | {"name": f"r{number}"}})
    states = look(api, find_cluster_runs(api, "ml", "list"))
    assert len(states) == 1000
    assert {state.state for state in states} == {State.SUCCEEDED}
    assert len(server.asked) <= 8


def test_the_state_of_a_job_that_nothing_is_known_of() -> None:
    run = recorded_run("running")["run"]
    del run["status"]
    state = run_state(run)
    assert (state.state, state.active, state.succeeded, state.finished) == (State.PENDING, 0, 0, "")


@pytest.mark.parametrize("is_deleted", [False, True], ids=["silent", "to be deleted"])
def test_a_node_that_does_not_answer_is_named(is_deleted: bool, server: Replay, api: Api) -> None:
    """When a kubelet is gone its pods keep their phase, and the node controller changes their conditions."""
    run = server.add_run("running")
    run["status"]["ready"] = 0
    for pod in server.objects[path_of("Pod", "ml")]:
        for condition in pod["status"]["conditions"]:
            condition["status"] = "False" if condition["type"] == "Ready" else condition["status"]
        if is_deleted:
            pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
            reason = {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager"}
            pod["status"]["conditions"].append(reason)
    if is_deleted:
        run["status"] |= {"active": 0, "terminating": 2}
    [state] = look(api, [run])
    node = server.objects[path_of("Pod", "ml")][0]["spec"]["nodeName"]
    assert f"node {node} does not answer: running-0-" in state.reason
    assert [phase_of(pod) for pod in server.objects[path_of("Pod", "ml")]] == ["Lost", "Lost"]
