"""Running again what failed, and only that."""

from collections.abc import Callable
from typing import Any

from datascaler.cluster.act.cancel import delete_runs, is_driver
from datascaler.cluster.kube.api import Api
from datascaler.cluster.kube.api_paths import Json
from datascaler.cluster.kube.chart_values import Values, merged_values
from datascaler.cluster.kube.defaults import look_around
from datascaler.cluster.kube.names import LONGEST, PART_OF, PIPELINE, RUN
from datascaler.cluster.kube.record import record_of
from datascaler.cluster.submit.create import check_by_server, send
from datascaler.cluster.submit.submission import describe_submission
from datascaler.cluster.watch.state import RunState, State, expand_ranges
from datascaler.cluster.watch.status import find_cluster_runs, list_runs, look
from datascaler.errors import ClusterError

_FAILED = (State.FAILED, State.PARTLY_FAILED)


def retry_run(api: Api, namespace: str, name: str, say: Callable[[str], None] = lambda _: None) -> list[str]:
    """Names of the runs that do the failed work again.

    A run shared by indexes gets a new run with just those that are not complete; any other run is made anew under its
    own name, and goes on from what it has finished. Of a pipeline it is the driver, which sees to the steps.
    """
    runs = find_cluster_runs(api, namespace, name)
    drivers = [run for run in runs if is_driver(run)]
    if not drivers and all(run["metadata"]["labels"].get(PIPELINE) == name for run in runs):
        raise ClusterError(f"the pipeline {name} has no driver in the cluster; the same submit, with --wait, goes on")
    # A pipeline's driver sees to its steps itself.
    runs = drivers or runs
    failed = [(run, state) for run, state in zip(runs, look(api, runs), strict=True) if state.state in _FAILED]
    if not failed:
        raise ClusterError(f"nothing to retry: no run of {name} has failed")
    kubernetes = look_around(api, namespace).kubernetes
    started = []
    for run, state in failed:
        values = record_of(run)
        left = _indexes_left(run, state)
        again = state.name if left is None else _next_name(api, namespace, state.name)
        if left is not None:
            values = _only(values, left, again)
            say(f"{state.name}: {len(left)} of {state.wanted} indexes are left: {ranges(left)}")
        submission = describe_submission(state.group if left is None else again, namespace, [values], kubernetes)
        # What the server would refuse is refused before an old run is given up for it.
        check_by_server(api, submission)
        if left is None:
            delete_runs(api, namespace, [run], say=say)
        send(api, submission, say)
        started.append(again)
    return started


def ranges(numbers: list[int]) -> str:
    """[1, 3, 4, 5] -> `1,3-5`."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and number == parts[-1][-1] + 1:
            parts[-1][1:] = [number]
        else:
            parts.append([number])
    return ",".join("-".join(map(str, part)) for part in parts)


def _indexes_left(run: Json, state: RunState) -> list[int] | None:
    """The parts of the work that are not complete; None if that is all of it, or the run has no parts."""
    if state.verb not in ("score", "eval"):
        return None
    done = set(expand_ranges(run.get("status", {}).get("completedIndexes", "")))
    if not done:
        return None
    left = [index for index in range(state.wanted) if index not in done]
    # A retry of a retry counts within the list that it was given.
    _, given = _command_and_indexes(record_of(run))
    return [given[index] for index in left] if given else left


def _only(values: Values, indexes: list[int], name: str) -> Values:
    command, _ = _command_and_indexes(values)
    command += ["--indexes", ranges(indexes)]
    logs = values.get("logs", "").rpartition("/")[0]
    new: dict[str, Any] = {"name": name, "command": command, "completions": len(indexes)}
    # Limits that make no sense for so few.
    new |= {key: len(indexes) for key in ("parallelism", "maxFailedIndexes") if values.get(key, 0) > len(indexes)}
    return merged_values(values, new, {"logs": f"{logs}/{name}"} if logs else {})


def _command_and_indexes(values: Values) -> tuple[list[str], list[int]]:
    """The command, and the indexes that a retry gave it: last, for `submit` lets nobody else give them."""
    command: list[str] = values["command"]
    if command[-2:-1] == ["--indexes"]:
        return command[:-2], expand_ranges(command[-1])
    return list(command), []


def _next_name(api: Api, namespace: str, name: str) -> str:
    """`NAME-retry1`, and so on."""
    base = name.partition("-retry")[0][: LONGEST - len("-retry99")].rstrip("-")
    taken = {run["metadata"]["labels"].get(RUN) for run in list_runs(api, namespace, PART_OF)}
    number = 1
    while f"{base}-retry{number}" in taken:
        number += 1
    return f"{base}-retry{number}"
