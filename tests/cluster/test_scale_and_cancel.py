"""What `scale` and `cancel` ask the server to do, and what they refuse."""

import json
from typing import Any

import pytest

from datascaler.cluster.act.cancel import cancel_run
from datascaler.cluster.act.scale import scale_run
from datascaler.cluster.kube.api import Api
from datascaler.cluster.kube.api_paths import path_of
from datascaler.cluster.kube.names import VALUES
from datascaler.cluster.watch.state import run_state
from datascaler.errors import ClusterError, ConfigError, NotFinishedError, RunNotFoundError
from tests.cluster.replay import Replay, recorded_run

JOBS, PODS, SERVICES = (path_of(kind, "ml") for kind in ("Job", "Pod", "Service"))
PYTORCHJOBS = path_of("PyTorchJob", "ml")


def training(name: str, kind: str = "Job", /, **bounds: int) -> dict[str, Any]:
    """A run as the launcher sends it."""
    labels = {
        "app.kubernetes.io/part-of": "datascaler", "app.kubernetes.io/instance": name, "datascaler/run": name,
        "app.kubernetes.io/component": "train",
    }  # fmt: skip
    record = {VALUES: json.dumps({"train": bounds})}
    spec: dict[str, Any] = {"completions": bounds["workers"], "parallelism": bounds["workers"]}
    if kind == "PyTorchJob":
        spec = {"pytorchReplicaSpecs": {"Worker": {"replicas": bounds["workers"]}}}
    metadata = {"name": name, "namespace": "ml", "labels": labels, "annotations": record, "uid": name}
    return {"kind": kind, "metadata": metadata, "spec": spec, "status": {}}


# ---- scale -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pods", [0, 1, 2])
def test_pods_of_a_shared_run_at_a_time(pods: int, server: Replay, api: Api) -> None:
    server.add_run("running")
    assert scale_run(api, "ml", "running", pods) == (2, pods)
    assert server.requests("PATCH") == [(f"{JOBS}/running", {}, {"spec": {"parallelism": pods}})]


def test_no_pods_at_a_time_is_a_pause(server: Replay) -> None:
    run = server.add_run("running", spec={"parallelism": 0}, status={"active": None, "ready": None})
    state = run_state(run)
    assert (state.state, state.state.exit_code) == ("paused", 101)
    assert "`datascaler scale running N` goes on" in state.reason


def test_more_pods_than_parts_are_refused(server: Replay, api: Api) -> None:
    server.add_run("running")
    with pytest.raises(ConfigError, match=r"running has 2 parts, so between 0 \(pause\) and 2 pods, not 3"):
        scale_run(api, "ml", "running", 3)
    assert server.requests("PATCH") == []


def test_workers_of_a_pytorchjob(server: Replay, api: Api) -> None:
    server.has_operator = True
    server.add(training("t", "PyTorchJob", workers=1, maxWorkers=3))
    assert scale_run(api, "ml", "t", 3) == (1, 3)
    assert server.requests("PATCH") == [(f"{PYTORCHJOBS}/t/scale", {}, {"spec": {"replicas": 3}})]


def test_workers_of_a_job_are_its_completions_too(server: Replay, api: Api) -> None:
    server.add(training("t", workers=3, minWorkers=2, maxWorkers=3))
    assert scale_run(api, "ml", "t", 2) == (3, 2)
    assert server.requests("PATCH") == [(f"{JOBS}/t", {}, {"spec": {"completions": 2, "parallelism": 2}})]


@pytest.mark.parametrize(
    ("bounds", "pods", "least", "most"),
    [
        ({"workers": 2, "minWorkers": 1, "maxWorkers": 3}, 4, 1, 3),
        ({"workers": 2, "minWorkers": 1, "maxWorkers": 3}, 0, 1, 3),
        ({"workers": 2, "maxWorkers": 3}, 1, 2, 3),
        ({"workers": 2, "minWorkers": 0, "maxWorkers": 0}, 3, 2, 2),
    ],
)
def test_bounds_of_a_training_run(
    bounds: dict[str, int], pods: int, least: int, most: int, server: Replay, api: Api
) -> None:
    server.add(training("t", **bounds))
    with pytest.raises(ConfigError, match=f"t was submitted with {least} to {most} workers, so {pods} is not possible"):
        scale_run(api, "ml", "t", pods)
    assert server.requests("PATCH") == []


def test_what_can_not_be_scaled(server: Replay, api: Api) -> None:
    server.add_run("complete")
    with pytest.raises(ClusterError, match="complete has succeeded; there is nothing to scale"):
        scale_run(api, "ml", "complete", 1)
    one = recorded_run("too-late")["run"]
    del one["status"]
    server.add(one)
    with pytest.raises(ClusterError, match=r"too-late is one pod by nature \(subset\)"):
        scale_run(api, "ml", "too-late", 1)
    for name in ("a", "b"):
        run = training(name, workers=1)
        run["metadata"]["labels"]["app.kubernetes.io/instance"] = "list"
        server.add(run)
    with pytest.raises(ClusterError, match="list is 2 runs; scale one of them: a, "):
        scale_run(api, "ml", "list", 1)
    with pytest.raises(RunNotFoundError):
        scale_run(api, "ml", "other", 1)


# ---- cancel ----------------------------------------------------------------------------------------------------


def test_cancel_waits_until_nothing_is_left(server: Replay, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    run = server.add_run("running")
    service = {
        "kind": "Service",
        "metadata": {"name": "running-0", "namespace": "ml", "labels": run["metadata"]["labels"]},
    }
    server.add(service)
    server.add_run("no-gpu")
    # Pods get their time to end.
    for pod in server.objects[PODS]:
        del pod["metadata"]["ownerReferences"]
    gone = [server.objects[SERVICES].clear, server.objects[PODS].clear]
    monkeypatch.setattr("datascaler.cluster.act.cancel.time.sleep", lambda _seconds: gone.pop(0)())
    said: list[str] = []
    assert cancel_run(api, "ml", "running", say=said.append) == ["running"]
    assert server.requests("DELETE") == [(f"{JOBS}/running", {"propagationPolicy": "Foreground"}, None)]
    assert said == ["waiting for the pods of running to end"]
    assert gone == []
    assert [each["metadata"]["name"] for each in server.objects[JOBS]] == ["no-gpu"]


def test_cancel_says_what_does_not_go(server: Replay, api: Api) -> None:
    server.add_run("running")
    for pod in server.objects[PODS]:
        del pod["metadata"]["ownerReferences"]
    with pytest.raises(NotFinishedError, match="still there after 0 s: Pod running-0-") as left:
        cancel_run(api, "ml", "running", timeout=0)
    assert left.value.exit_code == 101


def test_pods_of_other_runs_of_the_list_are_not_waited_for(server: Replay, api: Api) -> None:
    for name in ("running", "no-gpu"):
        found = recorded_run(name)
        for each in (found["run"], *found["pods"]):
            labels = each["metadata"]["labels"] | {"app.kubernetes.io/instance": "list"}
            if name == "running" or each["kind"] == "Job":
                server.add(each | {"metadata": each["metadata"] | {"labels": labels}})
    assert cancel_run(api, "ml", "no-gpu", timeout=0) == ["no-gpu"]


def test_a_pipelines_driver_is_cancelled_before_its_steps(server: Replay, api: Api) -> None:
    step, driver = training("p-score", workers=1), training("p", workers=1)
    step["metadata"]["labels"]["datascaler/pipeline"] = "p"
    # The older one is listed first.
    driver["metadata"]["creationTimestamp"], step["metadata"]["creationTimestamp"] = "2026-02", "2026-01"
    server.add(step, driver)
    assert cancel_run(api, "ml", "p", timeout=0) == ["p", "p-score"]
    assert [path for path, _, _ in server.requests("DELETE")] == [f"{JOBS}/p", f"{JOBS}/p-score"]


def test_there_must_be_something_to_cancel(server: Replay, api: Api) -> None:
    with pytest.raises(RunNotFoundError):
        cancel_run(api, "ml", "other")
    assert server.requests("DELETE") == []
