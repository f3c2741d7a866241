"""Training where the training operator is absent: its tests come first, for once it is there it stays."""

import json
from pathlib import Path

import pytest

from tests.e2e.cluster import Cluster
from tests.e2e.data import Data
from tests.e2e.elastic import workers_come_and_go
from tests.e2e.launcher import Launcher

pytestmark = pytest.mark.e2e


def test_an_indexed_job_trains_elastically(cluster: Cluster, launcher: Launcher, data: Data, tmp_path: Path) -> None:
    # On a cluster that is not ours the operator may be there already; then the backend has to be asked for.
    arguments = ["--backend", "job"] if cluster.has_operator() else []
    workers_come_and_go("elastic-job", cluster, launcher, data, tmp_path, arguments)


def test_without_the_operator_a_job_is_chosen(cluster: Cluster, launcher: Launcher, data: Data) -> None:
    arguments = ["--data-dir", data.clean, "--output-dir", data.url, "--scale", "small", "--name", "which"]
    dry = launcher("submit", "train", *arguments, "--dry-run=server", "-o", "json")
    kinds = {each["kind"] for each in json.loads(dry.out)["items"]}
    assert kinds == ({"PyTorchJob"} if cluster.has_operator() else {"Job", "Service"})
