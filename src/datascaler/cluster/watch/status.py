"""How a run is doing: its objects, its pods, and why it waits. Few requests, however many indexes or runs there are."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

from datascaler.cluster.kube.api import PAGE, Api
from datascaler.cluster.kube.api_paths import JOB, PYTORCHJOB, RUN_KINDS, Json, namespace_path, path_of
from datascaler.cluster.kube.names import INSTANCE, PART_OF, PIPELINE, RUN, handle
from datascaler.cluster.watch.reason import last_end, permanent_failure, why_events, why_lost, why_pods, why_workload
from datascaler.cluster.watch.state import RunState, State, missing_pods, run_label, run_state, unready_pods
from datascaler.errors import ClusterError, RefusedError, RunNotFoundError


def list_runs(api: Api, namespace: str, selector: str = PART_OF) -> list[Json]:
    """Jobs and PyTorchJobs, oldest first."""
    found = [each for kind in RUN_KINDS for each in _of_kind(api, namespace, kind, selector)]
    return sorted(found, key=lambda each: (each["metadata"].get("creationTimestamp", ""), each["metadata"]["name"]))


def find_cluster_runs(api: Api, namespace: str, name: str) -> list[Json]:
    """The run of this name, every run of the list, or the pipeline's driver and its steps.

    Raises RunNotFoundError.
    """
    for selector in (f"{INSTANCE}={name}", f"{RUN}={name}"):
        found = list_runs(api, namespace, f"{PART_OF},{selector}")
        if found:
            break
    found += list_runs(api, namespace, f"{PART_OF},{PIPELINE}={name}")
    if not found:
        raise RunNotFoundError(
            f"no run {handle(namespace, name)}; it may have been deleted after its time to live "
            f"(`datascaler list --namespace {namespace}` shows what is there)"
        )
    return found


def require_namespace(api: Api, namespace: str) -> None:
    """Raises ClusterError where the server says that there is none; not everybody may ask it."""
    try:
        api.get(namespace_path(namespace))
    except RefusedError as error:
        if error.status == 404 and f'namespaces "{namespace}" not found' in str(error):
            raise ClusterError(f"there is no namespace {namespace}; check --namespace and --context") from error


def list_pods(api: Api, namespace: str, name: str, *, ended_well: bool = False) -> list[Json]:
    """Pods of a run or of a list of runs; those that succeeded only if asked for, since there may be thousands."""
    query = {} if ended_well else {"fieldSelector": "status.phase!=Succeeded"}
    for label in (INSTANCE, RUN):
        pods = list(api.items(path_of("Pod", namespace), labelSelector=f"{PART_OF},{label}={name}", **query))
        if pods:
            break
    return pods


def look(api: Api, runs: list[Json], now: datetime | None = None) -> list[RunState]:
    """The state of each run, with the reason where it is not plain success."""
    now = now or datetime.now(UTC)
    states = [run_state(run) for run in runs]
    pods: dict[str, list[Json]] = {}
    for namespace, group in sorted({(state.namespace, state.group) for state in states}):
        members = [state for state in states if (state.namespace, state.group) == (namespace, group)]
        alone = members[0] if len(members) == 1 and members[0].kind == JOB else None
        for pod in (
            _telling_pods(api, alone, unready_pods(runs[states.index(alone)]))
            if alone
            else list_pods(api, namespace, group)
        ):
            pods.setdefault(run_label(pod), []).append(pod)
    return [_explained(api, run, state, pods.get(state.name, []), now) for run, state in zip(runs, states, strict=True)]


def _telling_pods(api: Api, job: RunState, unready: int) -> list[Json]:
    """Pods of a Job that don't run, up to the page on which one says why: ten thousand would not say more. Where that
    leaves some that are not ready, those among the running whose node has gone silent. (A container of a Job is not
    restarted, so other pods that run have nothing to tell.)"""
    pods: list[Json] = []
    path, selector = path_of("Pod", job.namespace), f"{PART_OF},{RUN}={job.name}"
    for pod in api.items(path, labelSelector=selector, fieldSelector="status.phase!=Succeeded,status.phase!=Running"):
        pods.append(pod)
        if len(pods) % PAGE == 0 and why_pods(pods[-PAGE:]):
            return pods
    if unready > sum(pod["status"].get("phase") == "Pending" for pod in pods):
        for number, pod in enumerate(
            api.items(path, labelSelector=selector, fieldSelector="status.phase=Running"), start=1
        ):
            if why_lost(pod):
                pods.append(pod)
            if number % PAGE == 0 and why_pods(pods):
                break
    return pods


def _explained(api: Api, run: Json, state: RunState, pods: list[Json], now: datetime) -> RunState:
    if state.state in (State.SUCCEEDED, State.CANCELLED, State.PAUSED):
        return state
    if state.state in (State.FAILED, State.PARTLY_FAILED):
        said = why_pods(pod for pod in pods if pod["status"].get("phase") == "Failed")
        return replace(state, reason="; ".join(filter(None, (said, state.reason))))
    if state.state == State.QUEUED:
        return replace(state, reason=_queued(api, run) or state.reason)
    if state.kind == PYTORCHJOB:
        # The operator would start it again and again.
        if said := permanent_failure(pods, now):
            return replace(state, state=State.FAILED, reason=f"{said}; `datascaler cancel {state.name}` frees its pods")
        running = [pod for pod in pods if pod["status"].get("phase") == "Running"]
        if state.state == State.RUNNING and not running:
            state = replace(state, state=State.PENDING)
    waiting = [pod for pod in pods if not _is_up(pod)]
    if state.state == State.RUNNING and state.kind == JOB:
        return replace(state, reason=_why_not_all(api, run, state, waiting))
    reason = why_pods(waiting)
    if not reason and state.state in (State.PENDING, State.RESTARTING):
        about = waiting[0]["metadata"]["name"] if waiting else state.name
        reason = why_events(_events(api, state.namespace, about))
    if reason and state.state == State.RUNNING:
        up = len(pods) - len(waiting)
        reason = _part(max(len(waiting), state.active - up), up, reason)
    return replace(state, reason=reason or state.reason)


def _why_not_all(api: Api, run: Json, state: RunState, waiting: list[Json]) -> str:
    """The reason why only a part of a Job runs; a pod that failed tells nothing once another has taken its place."""
    missing = missing_pods(run)
    failed = [pod for pod in waiting if pod["status"].get("phase") == "Failed"]
    coming = [pod for pod in waiting if pod not in failed]
    reason = why_pods(coming)
    if not reason and missing:
        # What ended a pod is old news if others have been refused since.
        refused = why_events(_events(api, state.namespace, state.name), since=last_end(failed))
        reason = refused or why_pods(failed)
    up = run["status"].get("ready") or 0
    down = max(len(coming), state.active + missing - up)
    return _part(down, up, reason) if reason else ""


def _part(down: int, up: int, reason: str) -> str:
    return f"{down:,} of {up + down:,} pods are not running: {reason}"


def _is_up(pod: Json) -> bool:
    is_there = pod["status"].get("phase") == "Running" and not why_lost(pod)
    return is_there and all(
        "running" in (container.get("state") or {}) for container in pod["status"].get("containerStatuses") or ()
    )


def _of_kind(api: Api, namespace: str, kind: str, selector: str) -> Iterator[Json]:
    try:
        for each in api.items(path_of(kind, namespace), labelSelector=selector):
            yield each | {"kind": kind}
    except RefusedError as error:
        if error.status != 404 or kind == JOB:  # without the operator there are no PyTorchJobs
            raise


def _events(api: Api, namespace: str, about: str) -> list[Json]:
    return list(api.items(path_of("Event", namespace), fieldSelector=f"involvedObject.name={about}"))


def _queued(api: Api, run: Json) -> str:
    """What Kueue says of the workload that stands for the run."""
    uid = run["metadata"]["uid"]
    try:
        for workload in api.items(path_of("Workload", run["metadata"]["namespace"])):
            owners = workload["metadata"].get("ownerReferences") or ()
            if any(owner["uid"] == uid for owner in owners):
                return why_workload(workload)
    except RefusedError as error:
        if error.status not in (403, 404):
            raise
    return ""
