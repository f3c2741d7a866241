"""Everything that is known of a run: what was asked, its pods, and the latest events."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from datascaler.cluster.kube.api import Api
from datascaler.cluster.kube.api_paths import Json, path_of
from datascaler.cluster.kube.names import VALUES
from datascaler.cluster.kube.record import record_of
from datascaler.cluster.watch.logs import index_of
from datascaler.cluster.watch.reason import phase_of
from datascaler.cluster.watch.state import RunState, run_label
from datascaler.cluster.watch.status import find_cluster_runs, list_pods, look

_EVENTS = 20


def describe_run(api: Api, namespace: str, name: str) -> list[dict[str, Any]]:
    """One description a run: state, values, pods (those that succeeded are only counted), events."""
    runs = find_cluster_runs(api, namespace, name)
    states = look(api, runs)
    pods_of, events_about = _pods_by_run(api, namespace, states), _events_by_object(api, namespace)
    found = []
    for run, state in zip(runs, states, strict=True):
        pods = pods_of[state.name]
        about = {state.name, *(pod["metadata"]["name"] for pod in pods)}
        events = [_event(each) for name in about for each in events_about[name]]
        has_record = VALUES in run["metadata"].get("annotations", {})
        found.append(
            {
                "state": state,
                "values": record_of(run) if has_record else {},
                "pods": [_pod(pod) for pod in pods],
                "events": sorted(events, key=lambda event: event["time"])[-_EVENTS:],
            }
        )
    return found


def _pods_by_run(api: Api, namespace: str, states: Iterable[RunState]) -> Mapping[str, list[Json]]:
    """One list a release, however many of its runs are asked for."""
    members: defaultdict[str, list[str]] = defaultdict(list)
    for state in states:
        members[state.group].append(state.name)
    found: defaultdict[str, list[Json]] = defaultdict(list)
    for group, runs in members.items():
        for pod in list_pods(api, namespace, group if len(runs) > 1 else runs[0]):
            found[run_label(pod)].append(pod)
    return found


def _events_by_object(api: Api, namespace: str) -> Mapping[str, list[Json]]:
    found: defaultdict[str, list[Json]] = defaultdict(list)
    for each in api.items(path_of("Event", namespace)):
        found[each["involvedObject"]["name"]].append(each)
    return found


def _pod(pod: Json) -> dict[str, Any]:
    status = pod["status"]
    containers = status.get("containerStatuses") or ()
    return {
        "pod": pod["metadata"]["name"],
        "index": index_of(pod),
        "phase": phase_of(pod),
        "restarts": sum(each.get("restartCount", 0) for each in containers),
        "node": pod["spec"].get("nodeName", ""),
        "since": status.get("startTime", pod["metadata"]["creationTimestamp"]),
    }


def _event(event: Json) -> dict[str, Any]:
    return {
        "time": event.get("lastTimestamp") or event.get("eventTime") or "",
        "about": f"{event['involvedObject']['kind']}/{event['involvedObject']['name']}",
        "reason": event.get("reason", ""),
        "message": " ".join(event.get("message", "").split()),
    }
