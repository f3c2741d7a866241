"""These tests are asked for by name, so a machine without an accelerator fails them."""

import pytest
import torch

from tests.score.conftest import local_dir, pool

__all__ = ["local_dir", "pool"]


@pytest.fixture(scope="session", autouse=True)
def _accelerator() -> None:
    assert torch.cuda.is_available(), "torch sees no accelerator here"
