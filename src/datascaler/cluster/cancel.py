"""Ending runs before their time, and leaving nothing behind."""

import time
from collections.abc import Callable

from datascaler.cluster.api import Api, Json
from datascaler.cluster.look import find_runs, list_runs
from datascaler.cluster.names import INSTANCE, PART_OF
from datascaler.cluster.paths import path_of, path_of_object
from datascaler.errors import NotFinishedError

_PAUSE_SECONDS = 1.0


def cancel(
    api: Api, namespace: str, name: str, *, timeout: float = 600, say: Callable[[str], None] = lambda _: None
) -> list[str]:
    """Delete the run, each of its list, or the pipeline and its steps; return their names once all is gone.

    Pods get their grace period to save what they have. Raises RunNotFoundError; NotFinishedError if something is still
    there after `timeout` seconds.
    """
    # A pipeline's driver comes first: it would submit the next step.
    runs = sorted(find_runs(api, namespace, name), key=lambda run: run["metadata"]["name"] != name)
    names = []
    for run in runs:
        api.delete(path_of_object(run))
        names.append(run["metadata"]["name"])
    groups = {run["metadata"]["labels"].get(INSTANCE, name) for run in runs}
    say(f"waiting for the pods of {len(runs):,} run(s) to end")
    deadline = time.monotonic() + timeout
    while left := [thing for group in sorted(groups) for thing in _left_of(api, namespace, group, set(names))]:
        if time.monotonic() > deadline:
            raise NotFinishedError(f"still there after {timeout:g} s: {', '.join(left[:5])}")
        time.sleep(_PAUSE_SECONDS)
    return names


def _left_of(api: Api, namespace: str, group: str, names: set[str]) -> list[str]:
    selector = f"{PART_OF},{INSTANCE}={group}"
    things = list_runs(api, namespace, selector)
    for kind in ("Pod", "Service"):
        things += [each | {"kind": kind} for each in api.items(path_of(kind, namespace), labelSelector=selector)]
    return [f"{thing['kind']} {thing['metadata']['name']}" for thing in things if _belongs(thing, names)]


def _belongs(thing: Json, names: set[str]) -> bool:
    return thing["metadata"]["labels"].get("datascaler/run") in names
