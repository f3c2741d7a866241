"""A few random evaluation sets; `tests/slow/test_random_evalsets.py` draws many."""

from pathlib import Path

from tests.evaluate.random_sets import check_random_set, write_random_set
from tests.tiny_clip import tiny_loaded_clip


def test_predictions_are_those_of_webdataset_pillow_and_open_clip(tmp_path: Path) -> None:
    found = []
    for seed in range(12):
        write_random_set(tmp_path / str(seed), seed)
        found.append(check_random_set(tmp_path / str(seed), tiny_loaded_clip(0)))
    assert found.count("equal") > 5
