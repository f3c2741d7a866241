"""What a Job or PyTorchJob says of itself: one state, and how far it is."""

import json
from dataclasses import dataclass
from enum import StrEnum

from datascaler.cluster.kube.api_paths import JOB, PYTORCHJOB, Json
from datascaler.cluster.kube.names import INSTANCE, RUN, VALUES, VERB
from datascaler.spec.numbers import parse_indexes


class State(StrEnum):
    PENDING = "pending"
    QUEUED = "queued"
    SUSPENDED = "suspended"
    PAUSED = "paused"
    RUNNING = "running"
    RESTARTING = "restarting"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    PARTLY_FAILED = "partly failed"
    CANCELLED = "cancelled"
    GONE = "gone"

    @property
    def is_final(self) -> bool:
        return self in (State.SUCCEEDED, State.FAILED, State.PARTLY_FAILED, State.CANCELLED, State.GONE)

    @property
    def exit_code(self) -> int:
        """0 succeeded, 100 failed, 101 not finished, 102 gone, 103 cancelled, 104 partly failed."""
        codes = {State.SUCCEEDED: 0, State.FAILED: 100, State.CANCELLED: 103, State.PARTLY_FAILED: 104, State.GONE: 102}
        return codes.get(self, 101)


@dataclass(frozen=True, kw_only=True, slots=True)
class RunState:
    name: str
    namespace: str
    group: str
    """The name it was submitted by: its own, or that of its list."""
    verb: str
    kind: str
    state: State
    reason: str = ""
    """Why it is not running or did not succeed, in one line."""
    wanted: int
    """Parts of a shared run, workers of a training run, else 1."""
    active: int
    """Pods that have not ended."""
    succeeded: int
    failed: int
    failed_indexes: str = ""
    """Indexes as Kubernetes writes them: 3,7-9."""
    logs: str = ""
    """The folder that its pods save their logs in."""
    created: str = ""
    started: str = ""
    finished: str = ""


def run_state(run: Json) -> RunState:
    """The state that the object itself tells; pods and events may say more."""
    metadata, status = run["metadata"], run.get("status") or {}
    is_pytorchjob = run["kind"] == PYTORCHJOB
    state, reason = _pytorchjob_state(run) if is_pytorchjob else _job_state(run)
    if metadata.get("deletionTimestamp") and not state.is_final:
        state, reason = State.CANCELLED, "being deleted"
    workers = (status.get("replicaStatuses") or {}).get("Worker") or {}
    counts = workers if is_pytorchjob else status
    return RunState(
        name=metadata["name"],
        namespace=metadata["namespace"],
        group=metadata["labels"].get(INSTANCE, metadata["name"]),
        verb=metadata["labels"].get(VERB, ""),
        kind=run["kind"],
        state=state,
        reason=reason,
        wanted=wanted_pods(run),
        active=counts.get("active") or 0,
        succeeded=counts.get("succeeded") or 0,
        # A pod that was lost and made anew is no failed part of the work.
        failed=len(expand_ranges(status.get("failedIndexes", ""))) if _is_shared(run) else counts.get("failed") or 0,
        failed_indexes=status.get("failedIndexes", ""),
        logs=json.loads(metadata.get("annotations", {}).get(VALUES, "{}")).get("logs", ""),
        created=metadata.get("creationTimestamp", ""),
        started=status.get("startTime", ""),
        finished=status.get("completionTime") or _finished(status),
    )


def wanted_pods(run: Json) -> int:
    spec = run["spec"]
    if run["kind"] == PYTORCHJOB:
        return int(spec["pytorchReplicaSpecs"]["Worker"].get("replicas", 1))
    return int(spec.get("completions") or 1)


def missing_pods(run: Json) -> int:
    """How many fewer pods a Job has than it should: what a quota refuses, or what is made again after a pause."""
    if run["kind"] != JOB or "SuccessCriteriaMet" in _true_conditions(run):
        return 0
    spec, status = run["spec"], run.get("status") or {}
    left = wanted_pods(run) - (status.get("succeeded") or 0) - len(expand_ranges(status.get("failedIndexes", "")))
    # One that is being stopped is replaced when it is gone.
    present = (status.get("active") or 0) + (status.get("terminating") or 0)
    return max(0, min(int(spec.get("parallelism", 1)), left) - present)


def unready_pods(run: Json) -> int:
    """How many of a Job's pods that have not ended are not ready, those that are to be deleted too."""
    status = run.get("status") or {}
    return (status.get("active") or 0) + (status.get("terminating") or 0) - (status.get("ready") or 0)


def _is_shared(run: Json) -> bool:
    return bool(run["kind"] == JOB and run["spec"].get("completionMode") == "Indexed")


def run_label(thing: Json) -> str:
    """Which run a pod or an object belongs to."""
    return str(thing["metadata"].get("labels", {}).get(RUN, ""))


def _job_state(job: Json) -> tuple[State, str]:
    status, true = job.get("status") or {}, _true_conditions(job)
    if "Complete" in true:
        return State.SUCCEEDED, ""
    for name in ("Failed", "FailureTarget"):
        if name in true:
            condition = true[name]
            some = condition.get("reason") == "FailedIndexes" and status.get("succeeded", 0) > 0
            return (State.PARTLY_FAILED if some else State.FAILED), _sentence(condition)
    if "Suspended" in true:
        return _held(job)
    if job["spec"].get("parallelism") == 0 and not status.get("active"):
        return State.PAUSED, f"no pods at a time; `datascaler scale {job['metadata']['name']} N` goes on with N"
    if status.get("ready") or "SuccessCriteriaMet" in true:
        return State.RUNNING, ""
    return State.PENDING, ""


def _pytorchjob_state(job: Json) -> tuple[State, str]:
    true = _true_conditions(job)
    if "Succeeded" in true:
        return State.SUCCEEDED, ""
    if "Failed" in true:
        return State.FAILED, _sentence(true["Failed"])
    if "Suspended" in true:
        return _held(job)
    if "Restarting" in true:
        return State.RESTARTING, ""
    if "Running" in true:
        return State.RUNNING, ""
    return State.PENDING, ""


def _held(job: Json) -> tuple[State, str]:
    queue = job["metadata"].get("labels", {}).get("kueue.x-k8s.io/queue-name")
    return (State.QUEUED, f"waits in queue {queue}") if queue else (State.SUSPENDED, "created with --suspend")


def _true_conditions(job: Json) -> dict[str, Json]:
    conditions = (job.get("status") or {}).get("conditions") or ()
    return {each["type"]: each for each in conditions if each["status"] == "True"}


def _sentence(condition: Json) -> str:
    return f"{condition.get('reason', '')}: {condition.get('message', '')}".strip(": ")


def _finished(status: Json) -> str:
    """A Job that failed has no completionTime."""
    ends = [each for each in status.get("conditions") or () if each["type"] == "Failed" and each["status"] == "True"]
    return str(ends[0].get("lastTransitionTime", "")) if ends else ""


def expand_ranges(ranges: str) -> list[int]:
    """Indexes as Kubernetes lists them: `1,3-5` -> [1, 3, 4, 5]; none at all is an empty text."""
    return parse_indexes(ranges) if ranges else []
