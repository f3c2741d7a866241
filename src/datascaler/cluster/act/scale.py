"""Changing how many pods work on a run while it goes on."""

from datascaler.cluster.kube.api import Api
from datascaler.cluster.kube.api_paths import PYTORCHJOB, Json, path_of_object
from datascaler.cluster.kube.record import record_of
from datascaler.cluster.watch.state import run_state
from datascaler.cluster.watch.status import find_cluster_runs
from datascaler.errors import ClusterError, ConfigError


def scale_run(api: Api, namespace: str, name: str, pods: int) -> tuple[int, int]:
    """Workers of a training run, or pods at a time of a shared one: (before, after).

    Raises ConfigError outside the bounds that the run was submitted with, ClusterError if it can't be scaled now.
    """
    runs = find_cluster_runs(api, namespace, name)
    if len(runs) != 1:
        raise ClusterError(f"{name} is {len(runs)} runs; scale one of them: {runs[0]['metadata']['name']}, ...")
    [run] = runs
    state = run_state(run)
    if state.state.is_final:
        raise ClusterError(f"{name} has {state.state}; there is nothing to scale")
    if state.verb == "train":
        _check_workers(run, pods)
        if run["kind"] == PYTORCHJOB:
            api.patch(path_of_object(run) + "/scale", {"spec": {"replicas": pods}})
        else:
            api.patch(path_of_object(run), {"spec": {"completions": pods, "parallelism": pods}})
        return state.wanted, pods
    if state.verb not in ("score", "eval"):
        raise ClusterError(f"{name} is one pod by nature ({state.verb}); it can't be scaled")
    if not 0 <= pods <= state.wanted:
        raise ConfigError(f"{name} has {state.wanted} parts, so between 0 (pause) and {state.wanted} pods, not {pods}")
    before = run["spec"].get("parallelism", state.wanted)
    api.patch(path_of_object(run), {"spec": {"parallelism": pods}})
    return before, pods


def _check_workers(run: Json, workers: int) -> None:
    bounds = record_of(run).get("train", {})
    fixed = bounds.get("workers", 1)
    least, most = bounds.get("minWorkers") or fixed, bounds.get("maxWorkers") or fixed
    if not least <= workers <= most:
        raise ConfigError(
            f"{run['metadata']['name']} was submitted with {least} to {most} workers, so {workers} is not possible; "
            "submit it with other --min-workers and --max-workers under another --name (it goes on from its checkpoint)"
        )
