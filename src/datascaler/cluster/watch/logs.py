"""What the pods of a run have said so far."""

from collections.abc import Callable, Generator
from dataclasses import dataclass

from datascaler.cluster.kube.api import Api
from datascaler.cluster.kube.api_paths import Json, path_of
from datascaler.cluster.watch.state import RunState, run_label, run_state
from datascaler.cluster.watch.status import find_cluster_runs, list_pods
from datascaler.errors import RefusedError

INDEX_LABELS = ("batch.kubernetes.io/job-completion-index", "training.kubeflow.org/replica-index")


@dataclass(frozen=True, kw_only=True, slots=True)
class LogQuery:
    index: int | None = None
    """Only pods of this index or worker; None means all."""
    since_seconds: int | None = None
    tail: int | None = None
    """Only so many of the last lines of each pod."""
    previous: bool = False
    """Whether to read the logs of the containers that ran before a restart."""


def print_logs(api: Api, namespace: str, name: str, query: LogQuery, write: Callable[[str], None]) -> tuple[int, int]:
    """Write what there is; returns how many pods the query is about, and how many of them had something to say.

    Raises RunNotFoundError.
    """
    states = [run_state(run) for run in find_cluster_runs(api, namespace, name)]
    pods = pods_of(api, namespace, name, query, states)
    heard = 0
    for pod in pods:
        prefix, has_spoken = prefix_of(pod, len(pods) > 1), False
        for line in read_log(api, pod, asked_of(query)):
            write(prefix + line)
            has_spoken = True
        heard += has_spoken
    return len(pods), heard


def pods_of(api: Api, namespace: str, name: str, query: LogQuery, states: list[RunState]) -> list[Json]:
    """The pods of the run, of its list, or of a pipeline's driver and its steps, which are found by their own names."""
    steps = [state.group for state in states if name not in (state.name, state.group)]
    pods = [pod for group in dict.fromkeys((name, *steps)) for pod in list_pods(api, namespace, group, ended_well=True)]
    if query.index is not None:
        pods = [pod for pod in pods if index_of(pod) == str(query.index)]
    place = {state.name: number for number, state in enumerate(states)}
    return sorted(
        pods,
        key=lambda pod: (
            place.get(run_label(pod), len(place)),
            int(index_of(pod) or 0),
            pod["metadata"]["creationTimestamp"],
        ),
    )


def index_of(pod: Json) -> str:
    labels = pod["metadata"].get("labels", {})
    return next((labels[name] for name in INDEX_LABELS if name in labels), "")


def prefix_of(pod: Json, is_shared: bool) -> str:
    return f"[{pod['metadata']['name']}] " if is_shared else ""


def asked_of(query: LogQuery) -> dict[str, str | int]:
    asked: dict[str, str | int] = {}
    if query.since_seconds is not None:
        asked["sinceSeconds"] = query.since_seconds
    if query.tail is not None:
        asked["tailLines"] = query.tail
    if query.previous:
        asked["previous"] = "true"
    return asked


def read_log(api: Api, pod: Json, asked: dict[str, str | int]) -> Generator[str, None, None]:
    """A container that has not started has said nothing yet."""
    metadata = pod["metadata"]
    container = pod["spec"]["containers"][0]["name"]
    path = path_of("Pod", metadata["namespace"], metadata["name"]) + "/log"
    try:
        yield from api.lines(path, container=container, **asked)
    except RefusedError as error:
        if error.status not in (400, 404):
            raise
