"""Ending runs before their time, and leaving nothing behind."""

import time
from collections.abc import Callable, Sequence

from datascaler.cluster.kube.api import Api
from datascaler.cluster.kube.api_paths import Json, path_of, path_of_object
from datascaler.cluster.kube.names import INSTANCE, PART_OF, VERB
from datascaler.cluster.watch.state import run_label
from datascaler.cluster.watch.status import find_cluster_runs, list_runs
from datascaler.errors import NotFinishedError, RunNotFoundError

_PAUSE_SECONDS = 1.0


def cancel_run(
    api: Api, namespace: str, name: str, *, timeout: float = 600, say: Callable[[str], None] = lambda _: None
) -> list[str]:
    """Delete the run, each of its list, or the pipeline and its steps; return their names once all is gone.

    Raises RunNotFoundError; NotFinishedError if something is still there after `timeout` seconds.
    """
    runs = find_cluster_runs(api, namespace, name)
    drivers = [run for run in runs if is_driver(run)]
    ended = delete_runs(api, namespace, drivers, timeout=timeout, say=say)
    if drivers:
        # Until it was gone it may have submitted the next step.
        try:
            runs = find_cluster_runs(api, namespace, name)
        except RunNotFoundError:
            return ended
    return ended + delete_runs(api, namespace, runs, timeout=timeout, say=say)


def delete_runs(
    api: Api,
    namespace: str,
    runs: Sequence[Json],
    *,
    timeout: float = 600,
    say: Callable[[str], None] = lambda _: None,
) -> list[str]:
    """Delete just these, and return their names once their pods and Services are gone too.

    Pods get their grace period to save what they have. Raises NotFinishedError if something is still there after
    `timeout` seconds.
    """
    if not runs:
        return []
    for run in runs:
        api.delete(path_of_object(run))
    names = [run["metadata"]["name"] for run in runs]
    groups = {run["metadata"]["labels"].get(INSTANCE, run["metadata"]["name"]) for run in runs}
    say(f"waiting for the pods of {', '.join(names) if len(names) <= 3 else f'{len(names):,} runs'} to end")
    deadline = time.monotonic() + timeout
    while left := [thing for group in sorted(groups) for thing in _left_of(api, namespace, group, set(names))]:
        if time.monotonic() > deadline:
            raise NotFinishedError(f"still there after {timeout:g} s: {', '.join(left[:5])}")
        time.sleep(_PAUSE_SECONDS)
    return names


def is_driver(run: Json) -> bool:
    """Whether it submits the steps of a pipeline."""
    return bool(run["metadata"]["labels"].get(VERB) == "pipeline")


def _left_of(api: Api, namespace: str, group: str, names: set[str]) -> list[str]:
    selector = f"{PART_OF},{INSTANCE}={group}"
    things = list_runs(api, namespace, selector)
    for kind in ("Pod", "Service"):
        things += [each | {"kind": kind} for each in api.items(path_of(kind, namespace), labelSelector=selector)]
    return [f"{thing['kind']} {thing['metadata']['name']}" for thing in things if run_label(thing) in names]
