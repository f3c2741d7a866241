"""A killed evaluation, started again, repeats no task and loses none: some moments of `killed`; tests/slow has all."""

from pathlib import Path

import pytest

from tests.evaluate.killed import check_killed_at, count_moments, write_data


@pytest.mark.timeout(900)
def test_a_killed_evaluation_goes_on_where_it_was(tmp_path: Path) -> None:
    data_dir, whole = write_data(tmp_path / "data"), tmp_path / "whole"
    moments = count_moments(data_dir, str(whole))
    assert moments == 25
    # In the middle of each task, while its samples get their name, between samples and record, between the tasks,
    # before the common files, and between these.
    check_killed_at([4, 6, 7, 10, 12, 18, 21], data_dir, whole, tmp_path)
