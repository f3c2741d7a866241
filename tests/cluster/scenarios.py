"""Runs that end, wait or fail in every way that the launcher tells apart, as values of the chart; recorded once."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

SHARED: Json = {
    "image": {"repository": "localhost/busybox", "tag": "1", "pullPolicy": "IfNotPresent"},
    "resources": {"cpu": "10m", "memory": "16Mi"},
    "gpu": {"count": 0},
    "shmSize": "0",
    "terminationGracePeriodSeconds": 1,
}
TOO_MANY_GPUS: Json = {"gpu": {"count": 64}}


@dataclass(frozen=True, kw_only=True)
class Scenario:
    values: Json
    is_reached: Callable[[Json, list[Json], list[Json]], bool]
    """Of the run, its pods and the namespace's events about them: whether the state to record is there."""
    quota: Json = field(default_factory=dict)
    """What the run's namespace may hold; with one it has a namespace of its own."""


def score(script: str, count: int = 1, **more: Any) -> Json:
    command = ["sh", "-c", script, "sh", "--count", str(count)]
    return {"kind": "score", "command": command, "completions": count, **more}


def subset(script: str, **more: Any) -> Json:
    return {"kind": "subset", "command": ["sh", "-c", script], **more}


def train(script: str, **more: Any) -> Json:
    return {"kind": "train", "command": ["sh", "-c", script], **more}


def _has_condition(*names: str) -> Callable[[Json, list[Json], list[Json]], bool]:
    def is_reached(run: Json, _pods: list[Json], _events: list[Json]) -> bool:
        conditions = run.get("status", {}).get("conditions") or ()
        return any(each["type"] in names and each["status"] == "True" for each in conditions)

    return is_reached


def _has_event(reason: str) -> Callable[[Json, list[Json], list[Json]], bool]:
    return lambda _run, _pods, events: reason in [each["reason"] for each in events]


def _waits_with(reason: str) -> Callable[[Json, list[Json], list[Json]], bool]:
    def is_reached(_run: Json, pods: list[Json], _events: list[Json]) -> bool:
        states = [each["state"] for pod in pods for each in pod["status"].get("containerStatuses") or ()]
        return any(state.get("waiting", {}).get("reason") == reason for state in states)

    return is_reached


def _is_unschedulable(_run: Json, pods: list[Json], _events: list[Json]) -> bool:
    conditions = [each for pod in pods for each in pod["status"].get("conditions") or ()]
    return bool(pods) and any(each.get("reason") == "Unschedulable" for each in conditions)


def _runs(pods_wanted: int) -> Callable[[Json, list[Json], list[Json]], bool]:
    def is_reached(run: Json, pods: list[Json], _events: list[Json]) -> bool:
        ready = int(run["status"].get("ready", pods_wanted))
        return ready == pods_wanted == [pod["status"]["phase"] for pod in pods].count("Running")

    return is_reached


def _restarted(times: int) -> Callable[[Json, list[Json], list[Json]], bool]:
    def is_reached(_run: Json, pods: list[Json], _events: list[Json]) -> bool:
        counts = [each["restartCount"] for pod in pods for each in pod["status"].get("containerStatuses") or ()]
        return bool(counts) and max(counts) >= times

    return is_reached


_INDEX_1_IS_BAD = 'test "$JOB_COMPLETION_INDEX" != 1 || { echo "datascaler: error: 3 shards are bad" >&2; exit 65; }'
_WRONG = 'echo "starting"; echo "datascaler: error: s3://nowhere/pool does not exist" >&2; exit 78'

SCENARIOS: dict[str, Scenario] = {
    "complete": Scenario(
        values=score('echo "part $JOB_COMPLETION_INDEX"; echo done', 3), is_reached=_has_condition("Complete")
    ),
    "some-failed": Scenario(values=score(_INDEX_1_IS_BAD, 3), is_reached=_has_condition("Failed")),
    "all-failed": Scenario(
        values=score("echo out of memory; exit 1", 2, backoffLimitPerIndex=0), is_reached=_has_condition("Failed")
    ),
    "wrong-config": Scenario(values=score(_WRONG, 2), is_reached=_has_condition("Failed")),
    "single-failed": Scenario(
        values=subset("echo no more; exit 1", backoffLimit=0), is_reached=_has_condition("Failed")
    ),
    "too-late": Scenario(values=subset("sleep 600", activeDeadlineSeconds=3), is_reached=_has_condition("Failed")),
    "suspended": Scenario(values=score("true", suspend=True), is_reached=_has_condition("Suspended")),
    "running": Scenario(values=score("echo hello; sleep 100000", 2), is_reached=_runs(2)),
    "no-gpu": Scenario(values=score("true", **TOO_MANY_GPUS), is_reached=_is_unschedulable),
    "no-image": Scenario(
        values=score("true", image={"repository": "localhost/absent", "pullPolicy": "Never"}),
        is_reached=_waits_with("ErrImageNeverPull"),
    ),
    "no-secret": Scenario(
        values=score("true", storage={"secretName": "absent"}), is_reached=_waits_with("CreateContainerConfigError")
    ),
    "no-account": Scenario(values=score("true", serviceAccountName="absent"), is_reached=_has_event("FailedCreate")),
    "over-quota": Scenario(
        values=score("true", 2), is_reached=_has_event("FailedCreate"), quota={"requests.memory": "1Mi", "pods": "5"}
    ),
}

PYTORCHJOBS: dict[str, Scenario] = {
    "workers-run": Scenario(
        values=train("echo hello; sleep 100000", train={"workers": 2, "maxWorkers": 3}), is_reached=_runs(2)
    ),
    "workers-done": Scenario(values=train("echo done", train={"workers": 2}), is_reached=_has_condition("Succeeded")),
    "worker-wrong": Scenario(values=train(_WRONG), is_reached=_restarted(2)),
    "worker-crash": Scenario(values=train("echo CUDA is gone; exit 1"), is_reached=_restarted(2)),
    "workers-wait": Scenario(values=train("true", **TOO_MANY_GPUS), is_reached=_is_unschedulable),
    "workers-held": Scenario(values=train("true", suspend=True), is_reached=_has_condition("Suspended")),
    "worker-late": Scenario(values=train("sleep 100000", activeDeadlineSeconds=3), is_reached=_has_condition("Failed")),
}
"""With the training operator only."""

HUGE = Scenario(
    values=score("true", 10_000, parallelism=500, **TOO_MANY_GPUS),
    is_reached=lambda run, pods, _events: run["status"].get("active") == len(pods) == 500,
)
"""As many pods as one page of a list holds; the tests multiply them."""
