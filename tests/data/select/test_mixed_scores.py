"""Mixes of score columns against the same formulas over whole columns in memory."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from datascaler.data.pool.samples import BAD_IMAGE
from datascaler.data.select.joined_tables import JoinedTables
from datascaler.data.select.mixed_scores import MixedScores, open_mix
from datascaler.errors import ConfigError
from datascaler.spec.mix_rule import MixRule, parse_weights
from datascaler.spec.select_rule import SelectRule
from tests.data.made_tables import uids_of
from tests.data.score_rows import NAN, Row, assert_keeps, best_first, selected, write_rows

WEIGHTS = {"a": 1.0, "b": -0.5, "c": 2.0}
TABLES = 5


def columns(count: int) -> dict[str, NDArray[np.float32]]:
    """Scores with and without ties, of very different spread, and rows that are not usable in one of them."""
    generator = np.random.default_rng(3)
    scores = {
        "a": generator.normal(0.2, 0.05, count),
        "b": np.round(generator.normal(1e6, 30, count)),
        "c": generator.integers(-3, 3, count) / 4,
    }
    for each in scores.values():
        each[generator.random(count) < 0.05] = NAN
    return {name: each.astype(np.float32) for name, each in scores.items()}


def join(folder: Path, uids: Sequence[str], scores: dict[str, NDArray[np.float32]]) -> JoinedTables:
    rows = {
        name: [Row(uid, float(score)) for uid, score in zip(uids, column, strict=True)]
        for name, column in scores.items()
    }
    rows["a"][7].status = BAD_IMAGE
    pools = {name: write_rows(folder / name, each, TABLES) for name, each in rows.items()}
    return JoinedTables([f"{number:04d}.tar" for number in range(TABLES)], pools)


def usable_in_all(scores: dict[str, NDArray[np.float32]]) -> NDArray[np.bool_]:
    usable = np.logical_and.reduce([~np.isnan(column) for column in scores.values()])
    usable[7] = False
    return np.asarray(usable)


def mixed(pool: MixedScores, count: int) -> NDArray[np.float32]:
    """Of all rows, in the order in which they were before they were dealt out to the tables."""
    scores = np.empty(count, np.float32)
    for table in range(TABLES):
        scores[table::TABLES] = pool.scores(table)
        assert np.array_equal(pool.scored_uids(table)[0], scores[table::TABLES], equal_nan=True)
    return scores


def ranks(column: NDArray[np.float64]) -> NDArray[np.float64]:
    """By counting: the share of values below, and half of those that are equal."""
    below, equal = column[:, None] > column, column[:, None] == column
    return np.asarray((below.sum(axis=1) + equal.sum(axis=1) / 2) / len(column))


@pytest.mark.parametrize("kind", ["zscore", "rank"])
def test_the_mix_is_the_formula_and_selects_by_it(tmp_path: Path, kind: str) -> None:
    uids, scores = uids_of(600), columns(600)
    joined = join(tmp_path, uids, scores)
    seen: list[int] = []
    pool = open_mix(joined, MixRule(kind, WEIGHTS), tmp_path / "scratch", lambda: seen.append(1))
    assert len(seen) == TABLES
    usable = usable_in_all(scores)
    expected = np.full(600, np.nan)
    expected[usable] = 0
    for name, weight in WEIGHTS.items():
        column = scores[name][usable].astype(np.float64)
        if kind == "zscore":
            expected[usable] += weight * (column - column.mean()) / column.std()
        else:
            expected[usable] += weight * ranks(column) / 3.5
    found = mixed(pool, 600)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)
    rows = [Row(uid, float(score)) for uid, score in zip(uids, found, strict=True)]
    selection = selected(pool, SelectRule(top=100), tmp_path / "scratch", run_rows=16)
    assert_keeps(selection, best_first(rows)[:100], rows)


def test_ranks_are_exact_and_share_ties(tmp_path: Path) -> None:
    uids = uids_of(10)
    a = np.array([5, 1, 1, 1, 3, 3, -0.0, 0.0, 9, 8], np.float32)
    joined = join(tmp_path, uids, {"a": a, "b": np.zeros(10, np.float32)})
    pool = open_mix(joined, MixRule("rank", {"a": 1, "b": 1}), tmp_path / "scratch")
    found = mixed(pool, 10)
    assert np.isnan(found[7])
    # Nine usable rows: one zero, three ones, two threes, 5, 8, 9; b is one tie, whose rank is a half.
    places = {0: 0.5, 1: 2.5, 3: 5, 5: 6.5, 8: 7.5, 9: 8.5}
    expected = [(places[int(score)] / 9 + 0.5) / 2 for score in np.delete(a, 7)]
    assert np.delete(found, 7).tolist() == np.array(expected, np.float32).tolist()


@pytest.mark.parametrize("kind", ["zscore", "rank"])
def test_rows_that_do_not_belong_together_are_named(tmp_path: Path, kind: str) -> None:
    uids, scores = uids_of(30), {"a": np.arange(30, dtype=np.float32), "b": np.arange(30, dtype=np.float32)}
    joined = join(tmp_path, uids, scores)
    other = uids_of(30, seed=1)
    swapped = [Row(other[13] if at == 13 else uid, 1) for at, uid in enumerate(uids)]
    wrong = JoinedTables(joined.shards, {**joined.columns, "b": write_rows(tmp_path / "w", swapped, TABLES)})
    message = f"row 2 of shard 0003.tar has the uid {uids[13]} in a and {other[13]} in b: the tables are of different"
    with pytest.raises(ConfigError, match=message):
        open_mix(wrong, MixRule(kind, {"a": 1, "b": 1}), tmp_path / "scratch")
    short = write_rows(tmp_path / "s", [Row(uid, 1) for uid in uids[:28]], TABLES)
    with pytest.raises(ConfigError, match=r"shard 0003\.tar has 6 rows in a and 5 in b"):
        open_mix(JoinedTables(joined.shards, {**joined.columns, "b": short}), MixRule(kind, {"a": 1, "b": 1}), tmp_path)


def test_columns_that_say_nothing_are_refused(tmp_path: Path) -> None:
    uids = uids_of(30)
    some, none = np.arange(30, dtype=np.float32), np.full(30, np.nan, np.float32)
    flat = join(tmp_path / "1", uids, {"a": some, "b": np.full(30, 0.25, np.float32)})
    with pytest.raises(ConfigError, match=r"all rows of b score 0\.25, which has no z-score: leave it out of the mix"):
        open_mix(flat, MixRule("zscore", {"a": 1, "b": 1}), tmp_path / "s")
    empty = join(tmp_path / "2", uids, {"a": some, "b": none})
    for kind in ("zscore", "rank"):
        with pytest.raises(ConfigError, match="no row is usable in all of a, b: there is nothing to mix"):
            open_mix(empty, MixRule(kind, {"a": 1, "b": 1}), tmp_path / kind)


def test_moments_of_scores_far_from_zero_keep_their_digits(tmp_path: Path) -> None:
    # Sums of squares in float64 would leave a variance of 0 or less here.
    uids = uids_of(1000)
    far = (3e8 + 32 * np.arange(1000)).astype(np.float32)
    joined = join(tmp_path, uids, {"a": far, "b": np.arange(1000, dtype=np.float32)})
    pool = open_mix(joined, MixRule("zscore", {"a": 1, "b": 1}), tmp_path / "s")
    column = np.delete(far.astype(np.float64), 7)
    scale = pool.scales["a"](far)
    np.testing.assert_allclose(np.delete(scale, 7), (column - column.mean()) / column.std(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("kind", "names", "message"),
    [
        ("median", ["a", "b"], "unknown mix 'median'; known: zscore, rank"),
        ("rank", ["a"], "a mix needs the names of at least two scores, got a"),
        ("rank", [], "at least two scores, got none"),
        ("rank", ["a", "a=2"], "'a=2' names scores that were named before"),
        ("rank", ["=2"], "'=2' names no scores"),
        ("rank", ["a", "b=two"], r"not a weight: 'two' in 'b=two' \(write NAME=0.5\)"),
        ("rank", ["a", "b=0"], "the weight of b must not be 0"),
        ("rank", ["a", "b=nan"], r"the weight of b must not be 0 and within \+-1e\+09, got nan"),
        ("rank", ["a", "b=1e10"], r"got 1e\+10"),
    ],
)
def test_what_is_no_mix(kind: str, names: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        MixRule(kind, parse_weights(names))


def test_names_of_a_mix() -> None:
    rule = MixRule("zscore", parse_weights(["clip-x", "dfn-y=-0.25"]))
    assert (rule.method, rule.score_id) == ("mix-zscore", "zscore(clip-x=1, dfn-y=-0.25)")
