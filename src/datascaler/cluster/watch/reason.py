"""Why a run is not running, or how it failed, in one line: from its pods, else from events."""

import re
from collections.abc import Iterable
from datetime import datetime, timedelta

from datascaler.cluster.kube.api_paths import Json

PERMANENT = {2: "wrong usage", 65: "bad input", 78: "wrong configuration", 79: "diverged"}
"""Exit codes of a worker that no retry will change."""

_SETTLED = timedelta(minutes=1)
"""A container that has run so long may have overcome what ended the one before it."""

_CHILD_FAILED = re.compile(r"datascaler: error: process \d+ failed with exit code \d+$")

_WAITING = {
    "ImagePullBackOff": "image can't be pulled",
    "ErrImagePull": "image can't be pulled",
    "ErrImageNeverPull": "image is not on the node",
    "InvalidImageName": "image name is not valid",
    "CreateContainerConfigError": "container can't be configured",
    "CreateContainerError": "container can't be created",
    "RunContainerError": "container can't be started",
}


def why_pods(pods: Iterable[Json]) -> str:
    """The first reason that the pods themselves give."""
    pods = list(pods)
    for look in (_unschedulable, _waiting, why_lost, _crashed):
        for pod in pods:
            if reason := look(pod):
                return reason
    return ""


def why_events(events: Iterable[Json], since: str = "") -> str:
    """The newest warning, if it is not older than `since`."""
    warnings = [each for each in events if each.get("type") == "Warning" and _time_of(each) >= since]
    if not warnings:
        return ""
    newest = max(warnings, key=_time_of)
    return _one_line(newest.get("message", "")).removeprefix("Error creating: ")


def why_workload(workload: Json) -> str:
    """Kueue's own sentence."""
    conditions = {each["type"]: each for each in (workload.get("status") or {}).get("conditions") or ()}
    for name in ("Evicted", "QuotaReserved", "Admitted"):
        condition = conditions.get(name)
        if condition and (condition["status"] == "True") == (name == "Evicted"):
            return _one_line(condition.get("message", ""))
    return ""


def permanent_failure(pods: Iterable[Json], now: datetime) -> str:
    """The failure of a pod that will fail again however often it is started, or nothing."""
    for pod in pods:
        ended = _last_end(pod)
        if ended and ended["exitCode"] in PERMANENT and not _has_settled(pod, now):
            return _crashed(pod)
    return ""


def last_end(pods: Iterable[Json]) -> str:
    """When the newest of these pods that have failed did so."""
    times = [""]
    for pod in pods:
        lost = [each for each in pod["status"].get("conditions") or () if each["type"] == "DisruptionTarget"]
        times += [each.get("lastTransitionTime") or "" for each in lost]
        ended = _last_end(pod) or {}
        times.append(ended.get("finishedAt") or "")
    return max(times)


def _has_settled(pod: Json, now: datetime) -> bool:
    """Whether it runs again, and has for a while: in a crash loop it waits, or has just been started."""
    starts = [((each.get("state") or {}).get("running") or {}).get("startedAt") for each in _containers(pod)]
    return all(start and now - datetime.fromisoformat(start) >= _SETTLED for start in starts)


def _time_of(event: Json) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or "")


def _unschedulable(pod: Json) -> str:
    for condition in (pod.get("status") or {}).get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return f"{condition.get('reason', 'not scheduled').lower()}: {_one_line(condition.get('message', ''))}"
    return ""


def _waiting(pod: Json) -> str:
    for container in _containers(pod):
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") in _WAITING:
            said = _one_line(waiting.get("message", "")) or waiting["reason"]
            return f"{_WAITING[waiting['reason']]}: {said}"
    return ""


def why_lost(pod: Json) -> str:
    """Why nothing is known of a pod that ran: its node does not answer, so that the node controller calls the pod not
    ready though its container was, and later asks for a deletion that nobody confirms."""
    metadata, status = pod["metadata"], pod.get("status") or {}
    conditions = {each["type"]: each for each in status.get("conditions") or ()}
    disrupted = conditions.get("DisruptionTarget", {}) if status.get("phase") == "Running" else {}
    is_silent = status.get("phase") == "Running" and [
        conditions.get(kind, {}).get("status") for kind in ("ContainersReady", "Ready")
    ] == ["True", "False"]
    node = (pod.get("spec") or {}).get("nodeName", "")
    if disrupted.get("status") == "True" and disrupted.get("reason") == "DeletionByTaintManager":
        return f"node {node} does not answer: {metadata['name']} is to be deleted there, and may run on"
    if is_silent:
        return f"node {node} does not answer: {metadata['name']} ran there when it last did"
    return ""


def phase_of(pod: Json) -> str:
    """What the pod is doing; its own phase stays Running when its node is gone."""
    phase = str((pod.get("status") or {}).get("phase", ""))
    if phase in ("Pending", "Running") and why_lost(pod):
        return "Lost"
    if phase in ("Pending", "Running") and pod["metadata"].get("deletionTimestamp"):
        return "Terminating"
    return phase


def _crashed(pod: Json) -> str:
    ended = _last_end(pod)
    if not ended:
        status = pod.get("status") or {}
        if status.get("phase") == "Failed":  # evicted, or lost with its node
            return (
                f"{pod['metadata']['name']}: {status.get('reason', 'failed')}, {_one_line(status.get('message', ''))}"
            )
        return ""
    code = ended["exitCode"]
    said = _error_line(ended.get("message", "")) or ended.get("reason", "")
    what = f" ({PERMANENT[code]})" if code in PERMANENT else ""
    return f"{pod['metadata']['name']} ended with {code}{what}: {said}"


def _last_end(pod: Json) -> Json | None:
    """How the container ended last with an error, in this life or the one before."""
    for container in _containers(pod):
        for life in ("state", "lastState"):
            ended: Json | None = (container.get(life) or {}).get("terminated")
            if ended and ended.get("exitCode"):
                return ended
    return None


def _containers(pod: Json) -> list[Json]:
    return (pod.get("status") or {}).get("containerStatuses") or []


def _error_line(text: str) -> str:
    """Ours, else the last line: stdout and stderr come by two pipes, so what was said last need not stand last."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("datascaler: error: ")]
    # The process's own words before those of the one that started it.
    own = [line for line in errors if not _CHILD_FAILED.match(line)]
    return (own or errors or lines or [""])[-1]


def _one_line(text: str) -> str:
    return " ".join(text.split())
