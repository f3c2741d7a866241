"""Random evaluation sets give what webdataset, Pillow and open_clip alone give, or are refused by name."""

from collections import Counter
from pathlib import Path

import pytest

from tests.evaluate.random_sets import check_random_set, write_random_set
from tests.tiny_clip import tiny_loaded_clip

pytestmark = pytest.mark.slow
CASES = 400


def test_predictions_equal_the_oracles(tmp_path: Path) -> None:
    found: Counter[str] = Counter()
    for seed in range(1000, 1000 + CASES):
        folder = tmp_path / str(seed)
        write_random_set(folder, seed)
        found[check_random_set(folder, tiny_loaded_clip(0))] += 1
    assert found["equal"] > CASES // 2
    assert found["refused"] > 5
    assert found["counted"] > 5
