"""Score columns as a selection sees them: keys in the order of scores, and random scores that belong to uids."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from datascaler.data.pool.samples import BAD_IMAGE
from datascaler.data.select.score_keys import score_of_key, sortable_keys
from datascaler.data.select.scored_pool import RandomScores, TableScores
from datascaler.errors import ConfigError
from datascaler.spec.select_rule import SelectRule
from tests.data.made_tables import uids_of
from tests.data.score_rows import NAN, Row, selected, write_rows

HALF = SelectRule(fraction=Fraction(1, 2))


def test_keys_are_in_the_order_of_scores_and_lead_back_to_them() -> None:
    bits = np.random.default_rng(0).integers(0, 2**32, 100_000, np.uint32)
    some = bits.view(np.float32)
    scores = np.unique(some[np.isfinite(some)])
    keys = sortable_keys(scores)
    assert np.array_equal(np.sort(keys), keys)
    assert len(np.unique(keys)) == len(scores)
    assert all(score_of_key(int(key)) == score for key, score in zip(keys[::97], scores[::97], strict=True))
    assert len(np.unique(sortable_keys(np.array([0.0, -0.0], np.float32)))) == 1


def test_rows_that_are_never_kept_are_nan(tmp_path: Path) -> None:
    uids = uids_of(5)
    rows = [Row(uids[0], 1), Row(uids[1], 2, BAD_IMAGE), Row(uids[2], NAN), Row(uids[3], float("inf")), Row(uids[4], 3)]
    scores, (high, low) = write_rows(tmp_path, rows).scored_uids(0)
    assert np.array_equal(scores, np.array([1, NAN, NAN, NAN, 3], np.float32), equal_nan=True)
    assert [f"{a:016x}{b:016x}" for a, b in zip(high.tolist(), low.tolist(), strict=True)] == uids
    only_bad = write_rows(tmp_path / "bad", [Row(uid, 1, BAD_IMAGE) for uid in uids])
    assert np.isnan(only_bad.scores(0)).all()
    assert len(write_rows(tmp_path / "empty", []).scores(0)) == 0


def test_a_file_that_is_no_score_table_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1 or not")
    with pytest.raises(ConfigError, match=r"a\.parquet is not a readable parquet file"):
        TableScores([f"{tmp_path}/a.parquet"]).scores(0)


def test_random_depends_on_seed_and_uid_only(tmp_path: Path) -> None:
    uids = uids_of(3000)
    first_pool = write_rows(tmp_path / "a", [Row(uid, number) for number, uid in enumerate(uids)], tables=3)
    other_pool = write_rows(tmp_path / "b", [Row(uid, -number % 17) for number, uid in enumerate(uids[::-1])], tables=2)
    quarter = SelectRule(fraction=Fraction(1, 4))
    first = selected(RandomScores(first_pool.urls, 1), quarter, tmp_path / "1")[1]
    assert selected(RandomScores(other_pool.urls, 1), quarter, tmp_path / "2")[1] == first
    another = selected(RandomScores(first_pool.urls, 2), quarter, tmp_path / "3")[1]
    # 750 of 3000 twice: 187.5 shared on average, with a standard deviation of 10.3.
    assert 187.5 - 5 * 10.3 < len({*first} & {*another}) < 187.5 + 5 * 10.3


def test_random_is_uniform_over_uids_and_scores(tmp_path: Path) -> None:
    uids = sorted(uids_of(4000))
    pool = write_rows(tmp_path, [Row(uid, number) for number, uid in enumerate(uids)])
    kept = set(selected(RandomScores(pool.urls, 3), HALF, tmp_path / "scratch")[1])
    # Ten ranges of 400 uids, in the order of uid and of score alike: 200 kept each, standard deviation 9.5.
    counts = [sum(uid in kept for uid in uids[start : start + 400]) for start in range(0, 4000, 400)]
    assert sum(counts) == 2000
    assert all(abs(count - 200) < 5 * 9.5 for count in counts)


def test_random_keeps_no_row_that_has_no_score(tmp_path: Path) -> None:
    uids = uids_of(20)
    pool = write_rows(tmp_path, [Row(uid, 1 if number % 2 else NAN) for number, uid in enumerate(uids)])
    assert selected(RandomScores(pool.urls, 0), HALF, tmp_path / "scratch")[1] == sorted(uids[1::2])
