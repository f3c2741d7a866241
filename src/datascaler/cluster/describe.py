"""Everything that is known of a run: what was asked, its pods, and the latest events."""

from typing import Any

from datascaler.cluster.api import Api, Json
from datascaler.cluster.logs import index_of
from datascaler.cluster.look import find_runs, list_pods, look
from datascaler.cluster.names import VALUES
from datascaler.cluster.paths import path_of
from datascaler.cluster.record import record_of

_EVENTS = 20


def describe(api: Api, namespace: str, name: str) -> list[dict[str, Any]]:
    """One description a run: state, values, pods (those that succeeded are only counted), events."""
    runs = find_runs(api, namespace, name)
    found = []
    for run, state in zip(runs, look(api, runs), strict=True):
        pods = list_pods(api, namespace, state.name)
        about = {state.name, *(pod["metadata"]["name"] for pod in pods)}
        events = [
            _event(each) for each in api.items(path_of("Event", namespace)) if each["involvedObject"]["name"] in about
        ]
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


def _pod(pod: Json) -> dict[str, Any]:
    status = pod["status"]
    containers = status.get("containerStatuses") or ()
    return {
        "pod": pod["metadata"]["name"],
        "index": index_of(pod),
        "phase": status.get("phase", ""),
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
