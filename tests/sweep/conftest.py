"""A pool that the tests of sweeps share, and read only."""

import pytest

from tests.train.conftest import one_thread
from tests.train.runs import make_pool

__all__ = ["one_thread"]


@pytest.fixture(scope="session")
def pool(tmp_path_factory: pytest.TempPathFactory) -> str:
    """24 samples in two shards."""
    return make_pool(str(tmp_path_factory.mktemp("sweep") / "pool"), samples=24, samples_per_shard=12)
