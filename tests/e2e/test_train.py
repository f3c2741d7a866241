"""Training by the training operator."""

from pathlib import Path

import pytest

from tests.e2e.cluster import Cluster
from tests.e2e.data import Data
from tests.e2e.elastic import workers_come_and_go
from tests.e2e.launcher import Launcher

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("operator")]


def test_a_pytorchjob_trains_elastically(cluster: Cluster, launcher: Launcher, data: Data, tmp_path: Path) -> None:
    workers_come_and_go("elastic", cluster, launcher, data, tmp_path)
    assert cluster.has_operator()
