"""These tests are asked for by name, so a machine without an accelerator fails them."""

from pathlib import Path

import pytest
import torch

from tests.score.pools import make_pool
from tests.tiny_clip import save_local_dir


@pytest.fixture(scope="session", autouse=True)
def _accelerator() -> None:
    assert torch.cuda.is_available(), "torch sees no accelerator here"


@pytest.fixture(scope="session")
def local_dir(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_local_dir(str(tmp_path_factory.mktemp("weights") / "tiny"))


@pytest.fixture
def pool(tmp_path: Path) -> str:
    return make_pool(f"{tmp_path}/pool")
