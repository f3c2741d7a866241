"""Selection against a sort of everything, row for row."""

import math
import random
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from datascaler.data.samples import BAD_IMAGE, OK
from datascaler.data.select import Selection, check_fraction, select_top
from datascaler.data.uids import uid_hex
from datascaler.errors import ConfigError
from tests.data.tables import add_table, uids_of

NAN = float("nan")


@dataclass
class Row:
    uid: str
    score: float
    status: str = OK


def write(folder: Path, rows: list[Row], tables: int = 1) -> list[str]:
    urls = []
    for number in range(tables):
        part = rows[number::tables]
        add_table(
            str(folder),
            f"{number:04d}",
            [row.uid for row in part],
            [row.score for row in part],
            [row.status for row in part],
        )
        urls.append(f"{folder}/{number:04d}.parquet")
    return urls


def oracle(rows: list[Row], fraction: Fraction) -> tuple[set[str], int, float]:
    """Kept uids, kept rows and threshold, by sorting all usable rows: best score first, then the smaller uid."""
    usable = [row for row in rows if row.status == OK and math.isfinite(row.score)]
    keep = min(int(fraction * len(rows)), len(usable))
    best = sorted(usable, key=lambda row: (-float(np.float32(row.score)), row.uid))[:keep]
    return {row.uid for row in best}, keep, float(np.float32(best[-1].score))


def assert_as_oracle(found: Selection, rows: list[Row], fraction: Fraction) -> None:
    uids, keep, threshold = oracle(rows, fraction)
    assert uid_hex(found.uids) == sorted(uids)
    assert (found.kept, found.threshold, found.rows) == (keep, threshold, len(rows))
    usable = [np.float32(row.score) for row in rows if row.status == OK and math.isfinite(row.score)]
    ties = [score for score in usable if score == np.float32(threshold)]
    better = [score for score in usable if score > np.float32(threshold)]
    assert (found.ties, found.kept_ties) == (len(ties), keep - len(better))


def mixed_rows(count: int, seed: int) -> list[Row]:
    """Ties in plenty, both zeros, negative scores, subnormals, bad rows, and uids that come twice."""
    generator = random.Random(seed)
    uids = uids_of(count, seed)
    special = [0.0, -0.0, 0.25, -0.25, 1.0, -1.0, 1e-42, -1e-42, 3e38, -3e38]
    rows = []
    for number, uid in enumerate(uids):
        score = generator.choice(special) if generator.random() < 0.5 else generator.uniform(-1, 1)
        row = Row(uid if generator.random() < 0.9 else uids[number // 2], score)
        if generator.random() < 0.1:
            row.status = BAD_IMAGE
        if generator.random() < 0.1:
            row.score = generator.choice([NAN, math.inf, -math.inf])
        rows.append(row)
    return rows


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    "fraction", [Fraction(1, 400), Fraction(3, 10), Fraction(1, 3), Fraction(79, 100), Fraction(1)]
)
def test_the_selection_is_that_of_a_sort(tmp_path: Path, seed: int, fraction: Fraction) -> None:
    rows = mixed_rows(400, seed)
    assert_as_oracle(select_top(write(tmp_path, rows, tables=3), fraction), rows, fraction)


def test_the_count_is_exact_where_floats_are_not(tmp_path: Path) -> None:
    # In binary 0.3 * 10 is 3.0000000000000004 or 2.9999999999999996, as it falls; 0.29 * 100 is 28.999999999999996.
    ten = [Row(uid, number) for number, uid in enumerate(uids_of(10))]
    assert select_top(write(tmp_path / "a", ten), Fraction("0.3")).kept == 3
    assert select_top(write(tmp_path / "a", ten), Fraction("0.39")).kept == 3
    hundred = [Row(uid, number) for number, uid in enumerate(uids_of(100))]
    assert select_top(write(tmp_path / "b", hundred), Fraction("0.29")).kept == 29


def test_bad_rows_count_in_the_pool_and_are_never_kept(tmp_path: Path) -> None:
    uids = uids_of(10)
    rows = [Row(uid, 5.0, BAD_IMAGE) for uid in uids[:4]] + [Row(uids[4], NAN), Row(uids[5], math.inf)]
    rows += [Row(uid, -1.0) for uid in uids[6:]]
    tables = write(tmp_path, rows, tables=2)
    half, everything = select_top(tables, Fraction(3, 10)), select_top(tables, Fraction(1))
    assert (half.kept, everything.kept) == (3, 4)
    assert uid_hex(half.uids) == sorted(uids[6:])[:3]
    assert uid_hex(everything.uids) == sorted(uids[6:])
    assert (everything.rows, everything.usable) == (10, 4)


def test_ties_go_to_the_smaller_uids_over_all_tables(tmp_path: Path) -> None:
    uids = uids_of(60)
    # Uids with the same high half differ in the low half only.
    uids[:4] = [uids[0][:16] + f"{low:016x}" for low in (2**64 - 1, 7, 2**63, 0)]
    rows = [Row(uid, 0.5) for uid in uids]
    found = select_top(write(tmp_path, rows, tables=4), Fraction(1, 2))
    assert uid_hex(found.uids) == sorted(uids)[:30]
    assert (found.kept_ties, found.ties, found.threshold) == (30, 60, 0.5)


def test_both_zeros_are_one_score(tmp_path: Path) -> None:
    uids = sorted(uids_of(4))
    rows = [Row(uids[0], -0.0), Row(uids[1], 0.0), Row(uids[2], -0.0), Row(uids[3], 0.0)]
    found = select_top(write(tmp_path, rows), Fraction(1, 2))
    assert uid_hex(found.uids) == uids[:2]
    assert found.ties == 4


def test_duplicates_are_rows_each_and_uids_once(tmp_path: Path) -> None:
    first, second, third, fourth = uids_of(4)
    rows = [Row(first, 0.9), Row(first, 0.8), Row(second, 0.7), Row(third, 0.1), Row(fourth, 0.0), Row(first, 0.05)]
    found = select_top(write(tmp_path, rows, tables=2), Fraction(1, 2))
    assert uid_hex(found.uids) == sorted([first, second])
    assert found.kept == 3


@pytest.mark.parametrize("random_seed", [None, 5])
def test_the_order_and_grouping_of_tables_is_irrelevant(tmp_path: Path, random_seed: int | None) -> None:
    rows = mixed_rows(200, seed=9)
    reference = select_top(write(tmp_path / "one", rows), Fraction(2, 5), random_seed)
    tables = write(tmp_path / "many", rows, tables=7)
    for order in (tables, tables[::-1], tables[3:] + tables[:3]):
        found = select_top(order, Fraction(2, 5), random_seed)
        assert np.array_equal(found.uids, reference.uids)
        assert (found.threshold, found.ties, found.kept_ties) == (
            reference.threshold,
            reference.ties,
            reference.kept_ties,
        )


@pytest.mark.parametrize("text", ["0", "-0.1", "1.0000001", "30"])
def test_fractions_outside_the_pool_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="fraction must be above 0 and at most 1"):
        check_fraction(Fraction(text))
    with pytest.raises(ConfigError, match="fraction must be above 0 and at most 1"):
        select_top([], Fraction(text))


def test_keeping_nothing_is_an_error_that_says_why(tmp_path: Path) -> None:
    rows = [Row(uid, 1.0) for uid in uids_of(9)]
    with pytest.raises(ConfigError, match=r"fraction 0\.1 of 9 rows \(9 usable\) keeps nothing"):
        select_top(write(tmp_path / "few", rows), Fraction(1, 10))
    bad = [Row(uid, NAN, BAD_IMAGE) for uid in uids_of(9)]
    with pytest.raises(ConfigError, match=r"fraction 1 of 9 rows \(0 usable\) keeps nothing"):
        select_top(write(tmp_path / "bad", bad), Fraction(1))
    with pytest.raises(ConfigError, match=r"of 0 rows"):
        select_top(write(tmp_path / "empty", []), Fraction(1))


def test_random_depends_on_seed_and_uid_only(tmp_path: Path) -> None:
    uids = uids_of(3000)
    rows = [Row(uid, number) for number, uid in enumerate(uids)]
    other = [Row(uid, -number % 17) for number, uid in enumerate(reversed(uids))]
    first = select_top(write(tmp_path / "a", rows, tables=3), Fraction(1, 4), random_seed=1)
    again = select_top(write(tmp_path / "b", other, tables=2), Fraction(1, 4), random_seed=1)
    assert np.array_equal(first.uids, again.uids)
    another = select_top(write(tmp_path / "a", rows), Fraction(1, 4), random_seed=2)
    shared = len(set(uid_hex(first.uids)) & set(uid_hex(another.uids)))
    # 750 of 3000 twice: 187.5 shared on average, with a standard deviation of 10.3.
    assert 187.5 - 5 * 10.3 < shared < 187.5 + 5 * 10.3


def test_random_is_uniform_over_uids_and_scores(tmp_path: Path) -> None:
    uids = sorted(uids_of(4000))
    rows = [Row(uid, number) for number, uid in enumerate(uids)]
    kept = set(uid_hex(select_top(write(tmp_path, rows), Fraction(1, 2), random_seed=3).uids))
    # Ten ranges of 400 uids, in the order of uid and of score alike: 200 kept each, standard deviation 9.5.
    counts = [sum(uid in kept for uid in uids[start : start + 400]) for start in range(0, 4000, 400)]
    assert sum(counts) == 2000
    assert all(abs(count - 200) < 5 * 9.5 for count in counts)


def test_every_table_is_announced_in_each_of_three_passes(tmp_path: Path) -> None:
    seen: list[int] = []
    select_top(write(tmp_path, mixed_rows(50, 1), tables=4), Fraction(1, 2), on_table=lambda: seen.append(1))
    assert len(seen) == 12
