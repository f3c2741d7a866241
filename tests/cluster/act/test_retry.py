"""Running again what failed, and only that: which indexes, under which name, from which values."""

import json
from typing import Any

import pytest

from datascaler.cluster.act.retry import ranges, retry_run
from datascaler.cluster.kube.api import Api
from datascaler.cluster.kube.api_paths import path_of
from datascaler.cluster.kube.names import VALUES
from datascaler.cluster.submit.create import send
from datascaler.cluster.submit.submission import describe_submission
from datascaler.cluster.watch.state import expand_ranges
from datascaler.errors import ClusterError
from tests.cluster.replay import Replay, recorded_run

JOBS = path_of("Job", "ml")
PARTS: dict[str, Any] = {
    "kind": "score",
    "command": ["datascaler", "score", "--count", "8", "--batch-size=64"],
    "completions": 8,
    "parallelism": 6,
    "maxFailedIndexes": 4,
    "logs": "s3://out/logs/run",
    "gpu": {"count": 2},
}

pytestmark = pytest.mark.usefixtures("real_helm")


def submit(server: Replay, api: Api, values: dict[str, Any], name: str = "run") -> None:
    send(api, describe_submission(name, "ml", [values], "1.36.3"))
    server.asked.clear()


def fail(server: Replay, name: str, completed: str, failed: str) -> None:
    """As a real Job with failed indexes says it."""
    status = recorded_run("some-failed")["run"]["status"]
    status |= {"completedIndexes": completed, "failedIndexes": failed, "succeeded": len(expand_ranges(completed))}
    next(job for job in server.objects[JOBS] if job["metadata"]["name"] == name)["status"] = status


def job_named(server: Replay, name: str) -> dict[str, Any]:
    return next(job for job in server.objects[JOBS] if job["metadata"]["name"] == name)


def record(job: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(job["metadata"]["annotations"][VALUES])
    return found


def command(job: dict[str, Any]) -> list[str]:
    found: list[str] = job["spec"]["template"]["spec"]["containers"][0]["command"]
    return found


# ---- ranges ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ([], ""),
        ([0], "0"),
        ([1, 3, 4, 5], "1,3-5"),
        ([5, 4, 9, 3], "3-5,9"),
        ([0, 1], "0-1"),
        (list(range(10_000)), "0-9999"),
        (list(range(0, 9, 2)), "0,2,4,6,8"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_ranges(numbers: list[int], text: str) -> None:
    assert ranges(numbers) == text
    assert expand_ranges(text) == sorted(numbers)


# ---- shared runs -----------------------------------------------------------------------------------------------


def test_only_the_indexes_that_are_not_complete(server: Replay, api: Api) -> None:
    submit(server, api, PARTS)
    fail(server, "run", completed="0-2,4,7", failed="3,5")
    said: list[str] = []
    assert retry_run(api, "ml", "run", said.append) == ["run-retry1"]
    again = job_named(server, "run-retry1")
    assert command(again) == [*PARTS["command"], "--indexes", "3,5-6"]
    assert (again["spec"]["completions"], again["spec"]["parallelism"], again["spec"]["maxFailedIndexes"]) == (3, 3, 3)
    # The rest is as it was, and the run that failed stays to be looked at.
    assert record(again)["gpu"] == {"count": 2}
    assert record(again)["logs"] == "s3://out/logs/run-retry1"
    assert job_named(server, "run")
    assert server.requests("DELETE") == []
    assert said == ["run: 3 of 8 indexes are left: 3,5-6"]


def test_a_retry_of_a_retry_counts_within_its_own_list(server: Replay, api: Api) -> None:
    submit(server, api, PARTS)
    fail(server, "run", completed="0-2,4,7", failed="3,5")
    retry_run(api, "ml", "run")
    # Indexes 0, 1, 2 of this one are parts 3, 5, 6.
    fail(server, "run-retry1", completed="1", failed="0,2")
    assert retry_run(api, "ml", "run-retry1") == ["run-retry2"]
    again = job_named(server, "run-retry2")
    assert command(again) == [*PARTS["command"], "--indexes", "3,6"]
    assert again["spec"]["completions"] == 2
    fail(server, "run-retry2", completed="0", failed="1")
    assert retry_run(api, "ml", "run-retry2") == ["run-retry3"]
    assert command(job_named(server, "run-retry3")) == [*PARTS["command"], "--indexes", "6"]


def test_the_name_of_a_retry_is_not_too_long(server: Replay, api: Api) -> None:
    submit(server, api, PARTS, "x" * 53)
    fail(server, "x" * 53, completed="0", failed="1")
    assert retry_run(api, "ml", "x" * 53) == ["x" * 45 + "-retry1"]


def test_of_a_run_with_nothing_complete_all_is_done_again(server: Replay, api: Api) -> None:
    submit(server, api, PARTS)
    fail(server, "run", completed="", failed="0-7")
    server.objects[JOBS][0]["metadata"]["uid"] = "old"
    assert retry_run(api, "ml", "run") == ["run"]
    [again] = server.objects[JOBS]
    assert again["metadata"]["uid"] != "old"
    assert command(again) == PARTS["command"]
    assert [path for path, _, _ in server.requests("DELETE")] == [f"{JOBS}/run"]


# ---- others ----------------------------------------------------------------------------------------------------


def test_another_run_is_made_anew_under_its_name(server: Replay, api: Api) -> None:
    values = {"kind": "subset", "command": ["datascaler", "subset"], "labels": {"team": "a"}}
    submit(server, api, values)
    server.objects[JOBS][0]["status"] = recorded_run("single-failed")["run"]["status"]
    assert retry_run(api, "ml", "run") == ["run"]
    [again] = server.objects[JOBS]
    assert "status" not in again
    assert record(again) == values


def test_of_a_sweep_only_the_failed_points(server: Replay, api: Api) -> None:
    sweep = {"kind": "train", "train": {"backend": "job"}, "command": ["datascaler", "train"]}
    submit(server, api, sweep | {"runs": [{"name": f"s-{number}"} for number in range(3)]}, "s")
    job_named(server, "s-1")["status"] = recorded_run("all-failed")["run"]["status"] | {"succeeded": 0}
    uids = {job["metadata"]["name"]: job["metadata"]["uid"] for job in server.objects[JOBS]}
    assert retry_run(api, "ml", "s") == ["s-1"]
    now = {job["metadata"]["name"]: job["metadata"]["uid"] for job in server.objects[JOBS]}
    assert [name for name in uids if uids[name] != now[name]] == ["s-1"]
    # It is still one of the list.
    assert job_named(server, "s-1")["metadata"]["labels"]["app.kubernetes.io/instance"] == "s"


def test_there_must_be_something_that_failed(server: Replay, api: Api) -> None:
    server.add_run("running")
    server.add_run("complete")
    for name in ("running", "complete"):
        with pytest.raises(ClusterError, match=f"nothing to retry: no run of {name} has failed"):
            retry_run(api, "ml", name)
    assert server.requests("POST") == server.requests("DELETE") == []


def test_a_run_of_somebody_else_can_not_be_retried(server: Replay, api: Api) -> None:
    run = server.add_run("single-failed")
    del run["metadata"]["annotations"]
    with pytest.raises(ClusterError, match="single-failed was not made by `datascaler submit`"):
        retry_run(api, "ml", "single-failed")
