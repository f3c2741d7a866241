"""Random evaluation sets give what webdataset, Pillow and open_clip alone give, or are refused by name."""

from collections import Counter
from pathlib import Path

from tests.evaluate.random_sets import check_random_set, write_random_set
from tests.tiny_clip import tiny_loaded_clip

CASES = 300


def test_predictions_are_those_of_webdataset_pillow_and_open_clip(tmp_path: Path) -> None:
    found: Counter[str] = Counter()
    model = tiny_loaded_clip(0)
    for seed in range(CASES):
        folder = tmp_path / str(seed)
        write_random_set(folder, seed)
        found[check_random_set(folder, model)] += 1
    assert found["equal"] > CASES // 2
    assert found["refused"] > 5
    assert found["counted"] > 5
