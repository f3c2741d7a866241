"""The full set of damaged shards: 3,500, by seeds beyond those of the default tests."""

import random
from pathlib import Path

import pytest

from tests.data.test_damage import check_damage_after_planning, check_pool_of

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("seed", range(1000, 1080))
def test_training_sees_what_scoring_calls_ok(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    check_pool_of(tmp_path, monkeypatch, random.Random(seed), seed, shards=32)


@pytest.mark.parametrize("seed", range(1000, 1030))
def test_damage_that_comes_after_planning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    check_damage_after_planning(tmp_path, monkeypatch, seed, shards=32)
