"""Selection against a sort of everything, row for row."""

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from datascaler.data.pool.samples import BAD_IMAGE
from datascaler.data.pool.uids import uid_hex
from datascaler.data.select.scored_pool import RandomScores, TableScores
from datascaler.data.select.select import select
from datascaler.errors import ConfigError
from datascaler.spec.select_rule import SelectRule
from tests.data.made_tables import uids_of
from tests.data.score_rows import NAN, Row, assert_keeps, best_first, mixed_rows, selected, write_rows

TINY = 16
"""Rows that a sort holds in memory: everything is spilled, and merged in many ranges."""


def part(text: str) -> SelectRule:
    return SelectRule(fraction=Fraction(text))


@pytest.mark.parametrize("run_rows", [TINY, 1 << 16])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("fraction", ["1/400", "0.3", "1/3", "0.79", "1"])
def test_a_fraction_keeps_what_a_sort_has_first(tmp_path: Path, seed: int, fraction: str, run_rows: int) -> None:
    rows = mixed_rows(400, seed)
    best = best_first(rows)
    kept = best[: min(int(Fraction(fraction) * 400), len(best))]
    found = selected(write_rows(tmp_path, rows, tables=3), part(fraction), tmp_path / "scratch", run_rows)
    assert_keeps(found, kept, rows)
    assert found[0].threshold == kept[-1].score32


@pytest.mark.parametrize("top", [1, 7, 150, 289])
def test_top_keeps_exactly_so_many_rows(tmp_path: Path, top: int) -> None:
    rows = mixed_rows(400, seed=2)
    found = selected(write_rows(tmp_path, rows, tables=3), SelectRule(top=top), tmp_path / "scratch", TINY)
    assert_keeps(found, best_first(rows)[:top], rows)
    assert found[0].kept == top


def test_more_than_there_is_is_refused(tmp_path: Path) -> None:
    rows = [Row(uid, 1.0) for uid in uids_of(5)] + [Row(uids_of(6)[5], NAN)]
    with pytest.raises(ConfigError, match="top 6 of 6 rows, of which 5 are usable: ask for at most 5"):
        select(write_rows(tmp_path, rows), SelectRule(top=6), tmp_path / "scratch")


@pytest.mark.parametrize("threshold", [-2.9e38, -1.0, -1e-42, -0.0, 0.0, 0.1, 0.25, 0.9, 3e38])
def test_a_threshold_keeps_every_row_from_it_on(tmp_path: Path, threshold: float) -> None:
    rows = mixed_rows(400, seed=3)
    rule = SelectRule(threshold=threshold)
    kept = [row for row in rows if row.usable and row.score32 >= np.float32(threshold)]
    assert_keeps(selected(write_rows(tmp_path, rows, tables=3), rule, tmp_path / "scratch", TINY), kept, rows)


def test_a_threshold_that_a_selection_printed_selects_the_same(tmp_path: Path) -> None:
    # Scores without ties: the float32 nearest to 0.7 is below 0.7.
    rows = [Row(uid, number / 10) for number, uid in enumerate(uids_of(10))]
    pool = write_rows(tmp_path, rows)
    top, uids = selected(pool, SelectRule(top=3), tmp_path / "a")
    assert top.threshold == float(np.float32(0.7)) < 0.7
    for threshold in (top.threshold, 0.7):
        assert selected(pool, SelectRule(threshold=threshold), tmp_path / "b")[1] == uids


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("fraction", ["0.001", "0.3", "1/3", "0.29", "0.99"])
def test_datacomps_rule_bit_for_bit(tmp_path: Path, seed: int, fraction: str) -> None:
    generator = np.random.default_rng(seed)
    count = (100, 333, 1000)[seed]
    scores = np.round(generator.normal(0.2, 0.1, count), 2).astype(np.float32)
    rows = [Row(uid, float(score)) for uid, score in zip(uids_of(count, seed), scores, strict=True)]
    # Its two lines: n = int(len(scores) * fraction), threshold = -np.sort(-scores)[n].
    n = int(len(scores) * float(Fraction(fraction)))
    threshold = -np.sort(-scores)[n]
    kept = [row for row in rows if np.float32(row.score) >= threshold]
    rule = SelectRule(fraction=Fraction(fraction), compat="datacomp")
    found = selected(write_rows(tmp_path, rows, tables=3), rule, tmp_path / "scratch", TINY)
    assert_keeps(found, kept, rows)
    assert found[0].threshold == float(threshold)


def test_datacomps_rule_counts_usable_rows_and_has_no_element_past_the_last(tmp_path: Path) -> None:
    uids = uids_of(8)
    rows = [Row(uid, number) for number, uid in enumerate(uids[:5])] + [Row(uid, NAN) for uid in uids[5:]]
    pool = write_rows(tmp_path, rows)
    found = selected(pool, SelectRule(fraction=Fraction("0.5"), compat="datacomp"), tmp_path / "half")
    assert_keeps(found, rows[2:5], rows)  # int(5 * 0.5) = 2: the third-best, not the fifth-best of eight
    with pytest.raises(ConfigError, match="element 5 of 5 descending scores, which is past the last one, for fraction"):
        select(pool, SelectRule(fraction=Fraction(1), compat="datacomp"), tmp_path / "all")


def test_the_count_is_exact_where_floats_are_not(tmp_path: Path) -> None:
    # In binary 0.3 * 10 is 3.0000000000000004 or 2.9999999999999996, as it falls; 0.29 * 100 is 28.999999999999996.
    ten = write_rows(tmp_path / "a", [Row(uid, number) for number, uid in enumerate(uids_of(10))])
    assert selected(ten, part("0.3"), tmp_path / "c")[0].kept == 3
    assert selected(ten, part("0.39"), tmp_path / "d")[0].kept == 3
    hundred = write_rows(tmp_path / "b", [Row(uid, number) for number, uid in enumerate(uids_of(100))])
    assert selected(hundred, part("0.29"), tmp_path / "e")[0].kept == 29
    # DataComp's own arithmetic is that of floats: int(28.999999999999996) = 28, counted from 0.
    rule = SelectRule(fraction=Fraction("0.29"), compat="datacomp")
    assert selected(hundred, rule, tmp_path / "f")[0].kept == 29


def test_bad_rows_count_in_the_pool_and_are_never_kept(tmp_path: Path) -> None:
    uids = uids_of(10)
    rows = [Row(uid, 5.0, BAD_IMAGE) for uid in uids[:4]] + [Row(uids[4], NAN), Row(uids[5], math.inf)]
    rows += [Row(uid, -1.0) for uid in uids[6:]]
    pool = write_rows(tmp_path, rows, tables=2)
    some, everything = selected(pool, part("0.3"), tmp_path / "a"), selected(pool, part("1"), tmp_path / "b")
    assert (some[0].kept, everything[0].kept) == (3, 4)
    assert some[1] == sorted(uids[6:])[:3]
    assert everything[1] == sorted(uids[6:])
    assert (everything[0].rows, everything[0].usable) == (10, 4)


@pytest.mark.parametrize("run_rows", [TINY, 1 << 16])
def test_ties_go_to_the_smaller_uids_over_all_tables(tmp_path: Path, run_rows: int) -> None:
    uids = uids_of(60)
    # Uids with the same high half differ in the low half only.
    uids[:4] = [uids[0][:16] + f"{low:016x}" for low in (2**64 - 1, 7, 2**63, 0)]
    rows = [Row(uid, 0.5) for uid in uids]
    found, kept = selected(write_rows(tmp_path, rows, tables=4), part("1/2"), tmp_path / "scratch", run_rows)
    assert kept == sorted(uids)[:30]
    assert (found.kept_ties, found.ties, found.threshold) == (30, 60, 0.5)


def test_both_zeros_are_one_score(tmp_path: Path) -> None:
    uids = sorted(uids_of(4))
    rows = [Row(uids[0], -0.0), Row(uids[1], 0.0), Row(uids[2], -0.0), Row(uids[3], 0.0)]
    found, kept = selected(write_rows(tmp_path, rows), part("1/2"), tmp_path / "scratch")
    assert kept == uids[:2]
    assert found.ties == 4


@pytest.mark.parametrize("run_rows", [2, 1 << 16])
def test_duplicates_are_rows_each_and_uids_once(tmp_path: Path, run_rows: int) -> None:
    first, second, third, fourth = uids_of(4)
    rows = [Row(first, 0.9), Row(first, 0.8), Row(second, 0.7), Row(third, 0.1), Row(fourth, 0.0), Row(first, 0.05)]
    found, kept = selected(write_rows(tmp_path, rows, tables=2), part("1/2"), tmp_path / "scratch", run_rows)
    assert kept == sorted([first, second])
    assert found.kept == 3
    same = [Row(first, 0.5) for _ in range(50)]
    found, kept = selected(write_rows(tmp_path / "same", same, tables=2), part("1/2"), tmp_path / "more", run_rows)
    assert (kept, found.kept, found.ties) == ([first], 25, 50)


@pytest.mark.parametrize("random_seed", [None, 5])
def test_the_order_and_grouping_of_tables_is_irrelevant(tmp_path: Path, random_seed: int | None) -> None:
    rows = mixed_rows(200, seed=9)
    one = write_rows(tmp_path / "one", rows).urls
    many = write_rows(tmp_path / "many", rows, tables=7).urls
    results = []
    for number, order in enumerate((one, many, many[::-1], [*many[3:], *many[:3]])):
        pool = TableScores(order) if random_seed is None else RandomScores(order, random_seed)
        found, kept = selected(pool, part("2/5"), tmp_path / f"scratch{number}")
        results.append((kept, found.threshold, found.ties, found.kept_ties))
    assert all(result == results[0] for result in results)


def test_keeping_nothing_is_an_error_that_says_why(tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "few", [Row(uid, 1.0) for uid in uids_of(9)])
    bad = write_rows(tmp_path / "bad", [Row(uid, NAN, BAD_IMAGE) for uid in uids_of(9)])
    with pytest.raises(ConfigError, match=r"fraction 0\.1 of 9 rows \(9 usable\) keeps nothing"):
        select(rows, part("1/10"), tmp_path / "a")
    with pytest.raises(ConfigError, match=r"fraction 1 of 9 rows \(0 usable\) keeps nothing"):
        select(bad, part("1"), tmp_path / "b")
    with pytest.raises(ConfigError, match=r"threshold 1.5 of 9 rows \(9 usable\) keeps nothing"):
        select(rows, SelectRule(threshold=1.5), tmp_path / "c")
    with pytest.raises(ConfigError, match="of 0 rows"):
        select(write_rows(tmp_path / "empty", []), part("1"), tmp_path / "d")


@pytest.mark.parametrize(("rule", "passes"), [(part("1/2"), 2), (SelectRule(top=3), 2), (SelectRule(threshold=0.0), 1)])
def test_every_table_is_announced_in_each_pass(tmp_path: Path, rule: SelectRule, passes: int) -> None:
    seen: list[int] = []
    pool = write_rows(tmp_path, mixed_rows(50, 1), tables=4)
    select(pool, rule, tmp_path / "scratch", on_table=lambda: seen.append(1))
    assert len(seen) == 4 * rule.passes == 4 * passes


def test_the_uids_are_mapped_not_read(tmp_path: Path) -> None:
    found = select(write_rows(tmp_path, mixed_rows(50, 1)), part("1/2"), tmp_path / "scratch")
    assert isinstance(found.uids, np.memmap)
    assert uid_hex(found.uids) == uid_hex(np.load(found.path))


def test_a_damaged_table_stops_the_selection_and_is_named(tmp_path: Path) -> None:
    pool = write_rows(tmp_path, mixed_rows(200, 1), tables=40)
    (tmp_path / "0017.parquet").write_bytes(b"PAR1 cut off")
    for number, rule in enumerate((part("1/2"), SelectRule(threshold=0.0))):
        with pytest.raises(ConfigError, match=r"0017\.parquet is not a readable parquet file"):
            select(pool, rule, tmp_path / f"scratch{number}")
