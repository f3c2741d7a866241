"""`submit score` on a real cluster, with pods that are killed and evicted under it."""

import json
from dataclasses import replace
from typing import Any

import pyarrow.parquet as pq
import pytest

from datascaler import storage
from tests.e2e.cluster import Cluster
from tests.e2e.data import Data
from tests.e2e.launcher import Launcher
from tests.e2e.until import until

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("operator")]


def test_pods_are_lost_and_the_tables_are_those_of_a_local_run(
    cluster: Cluster, launcher: Launcher, data: Data
) -> None:
    science = ["--data-dir", data.pool, "--method", "dfn", "--pretrained", data.filter_run, "--num-workers", "1"]
    local, out = storage.join(data.url, "score-local"), storage.join(data.url, "score-cluster")
    name = launcher.submit("score", *science, "--output-dir", out, "--count", "4", "--name", "lossy")

    pods = cluster.running_pods(launcher.namespace, name, 3)
    killed, also_killed, evicted = pods[:3]
    cluster.kubectl("delete", "pod", "-n", launcher.namespace, killed, also_killed, "--force", "--grace-period=0")
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": evicted, "namespace": launcher.namespace},
    }
    path = f"/api/v1/namespaces/{launcher.namespace}/pods/{evicted}/eviction"
    cluster.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))

    waited = launcher("wait", name, "--timeout", "600")
    assert "succeeded (4 of 4 done)" in waited.err
    state = launcher.status(name)
    assert (state["state"], state["succeeded"], state["wanted"]) == ("succeeded", 4, 4)
    survivors = set(cluster.pods(launcher.namespace, name))
    assert not survivors & {killed, also_killed}

    # As in the pods (site.py): sums depend on the number of threads in their last bit.
    replace(launcher, environment={**launcher.environment, "OMP_NUM_THREADS": "1"})(
        "score", *science, "--output-dir", local
    )
    assert rows_of(out) == rows_of(local)
    # The same work, asked for again, is not done again.
    again = launcher("submit", "score", *science, "--output-dir", out, "--count", "4", "--name", "lossy")
    assert "is there already with the same spec: succeeded" in again.err


def test_what_pods_said_outlives_them(cluster: Cluster, launcher: Launcher, data: Data) -> None:
    out = storage.join(data.url, "score-logs")
    science = ["--data-dir", data.pool, "--method", "dfn", "--pretrained", data.filter_run, "--num-workers", "1"]
    name = launcher.submit("score", *science, "--output-dir", out, "--name", "talkative", "--wait")
    alive = launcher("logs", name).out
    assert "scoring" in alive
    pods = cluster.pods(launcher.namespace, name)
    cluster.kubectl("delete", "pod", "-n", launcher.namespace, *pods)
    until(lambda: not cluster.pods(launcher.namespace, name), "the pods are gone")
    saved = launcher("logs", name, "--saved").out
    assert set(alive.splitlines()) <= set(saved.splitlines())
    assert launcher("logs", name).out == saved  # without pods the saved ones are shown
    launcher("cancel", name)
    assert launcher("logs", storage.join(out, "logs", name)).out == saved


def rows_of(output_dir: str) -> dict[str, list[dict[str, Any]]]:
    """Every score table of a folder, row for row."""
    tables = {}
    for info in storage.list_files(storage.join(output_dir, "scores"), ".parquet", recursive=True):
        with storage.local_copy(info.url) as path:
            rows = pq.ParquetFile(path).read().to_pylist()
        # A bad row's score is NaN, which equals nothing, itself included.
        tables[storage.relative_to(info.url, output_dir)] = [
            {name: None if value != value else value for name, value in row.items()} for row in rows
        ]
    assert tables
    return tables
