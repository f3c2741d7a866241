"""Pools that the tests of training share, and read only."""

from collections.abc import Iterator

import pytest
import torch

from tests.train.runs import make_pool


@pytest.fixture(scope="session")
def pool(tmp_path_factory: pytest.TempPathFactory) -> str:
    """64 samples in four shards."""
    return make_pool(str(tmp_path_factory.mktemp("train") / "pool"))


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """As in the processes that are compared with this one; and the machine is shared."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
