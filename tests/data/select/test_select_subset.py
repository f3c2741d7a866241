"""From score tables to subset, recipe and plan."""

from fractions import Fraction
from pathlib import Path

import pytest

from datascaler import storage
from datascaler.data.plan.plan_file import map_plan
from datascaler.data.pool.uids import uid_hex
from datascaler.data.select.select_subset import select_subset
from datascaler.data.subset.subset import read_recipe, read_subset, subset_digest
from datascaler.errors import ConfigError
from datascaler.spec.numbers import parse_fraction
from tests.data.scored_folder import UIDS, score_pool


@pytest.mark.parametrize("where", ["local", "s3"])
def test_the_best_fraction_with_its_recipe_and_plan(request: pytest.FixtureRequest, where: str) -> None:
    out = score_pool(str(request.getfixturevalue("s3_url" if where == "s3" else "tmp_path")))
    made = select_subset(out, fraction="0.3", method="clip", formats=("npy", "pkl", "trie"))
    base = f"{out}/subsets/clip-f0.3"
    assert (made.files, made.plan) == ([f"{base}.{name}" for name in ("npy", "pkl", "trie")], f"{base}.plan")
    assert all(uid_hex(read_subset(url)) == UIDS[21:] for url in made.files)
    recipe = read_recipe(made.files[0])
    assert recipe is not None
    assert (recipe["method"], recipe["fraction"], recipe["score_id"]) == ("clip", "0.3", "clip-x-00000000")
    assert (recipe["rows"], recipe["kept_rows"], recipe["kept_uids"]) == (30, 9, 9)
    assert recipe["threshold"] == pytest.approx(0.7)
    assert made.plan is not None
    with storage.local_copy(made.plan) as path:
        plan = map_plan(path)
        assert (plan.samples, plan.rows, plan.wanted) == (9, 30, 9)
        assert plan.subset_digest == recipe["digest"] == subset_digest(read_subset(made.files[0]))
        assert plan.pool_digest == recipe["pool_digest"]
    assert made.coverage is not None
    assert (made.coverage.present, made.coverage.wanted, made.coverage.duplicate_rows) == (9, 9, 0)


def test_a_fraction_without_a_decimal_form_reads_back_exactly(tmp_path: Path) -> None:
    made = select_subset(score_pool(str(tmp_path)), fraction="1/3", method="clip")
    assert made.plan == f"{tmp_path}/out/subsets/clip-f1-3.plan"
    assert parse_fraction(made.recipe["fraction"]) == Fraction(1, 3)


def test_random_is_named_after_its_seed_and_does_not_look_at_scores(tmp_path: Path) -> None:
    out = score_pool(str(tmp_path))
    first = select_subset(out, fraction="1/2", method="random", seed=1)
    second = select_subset(out, fraction="1/2", method="random", seed=2)
    assert first.files[0].endswith("/random-f0.5-s1.npy")
    assert first.recipe["seed"] == 1
    kept, other = (uid_hex(read_subset(made.files[0])) for made in (first, second))
    assert len(kept) == len(other) == 15
    assert kept != other
    assert kept != UIDS[15:]


def test_a_name_that_is_taken_by_another_choice_is_refused(tmp_path: Path) -> None:
    out = score_pool(str(tmp_path))
    base = f"{out}/subsets/a"
    select_subset(out, fraction="0.3", method="clip", formats=("npy", "txt"), name="a")
    # The same again, in another format, stands beside it.
    select_subset(out, fraction="0.3", method="clip", formats=("pkl",), name="a")
    assert len({len(read_subset(f"{base}.{suffix}")) for suffix in ("npy", "txt", "pkl")}) == 1
    for other, what in (
        ({"fraction": "0.5"}, "fraction is 0.3 there and 0.5 now"),
        ({"top": 9}, "top is None there and 9 now"),
        ({"threshold": 0.5}, "asked_threshold is None there and 0.5 now"),
        ({"fraction": "0.3", "compat": "datacomp"}, "compat is None there and datacomp now"),
    ):
        with pytest.raises(ConfigError, match=f"a.json is of another choice: {what}; choose another --subset-name"):
            select_subset(out, method="clip", name="a", **other)
    made = select_subset(out, fraction="0.5", method="clip", name="a", formats=("npy",), overwrite=True)
    assert made.recipe["kept_rows"] == len(read_subset(f"{base}.npy")) == 15
    # Nothing of the other subset is left to be taken for this one's.
    assert [storage.exists(f"{base}.{suffix}") for suffix in ("npy", "txt", "pkl")] == [True, False, False]
    recipe = read_recipe(f"{base}.npy")
    assert recipe is not None
    assert recipe["formats"] == ["npy"]


def test_scores_under_a_name_of_their_own_are_named(tmp_path: Path) -> None:
    out = score_pool(str(tmp_path))
    Path(f"{out}/scores/clip-x-00000000").rename(f"{out}/scores/mine")
    with pytest.raises(ConfigError, match=r"the clip scores in .* have a name of their own: add --score-name mine"):
        select_subset(out, fraction="0.3", method="clip")


def test_scores_that_cannot_be_meant_are_refused(tmp_path: Path) -> None:
    out = score_pool(str(tmp_path), skip="b.tar")
    with pytest.raises(ConfigError, match=r"1 of 3 shards have no scores yet \(first: .*/b\.parquet\)"):
        select_subset(out, fraction="1/2", method="clip")
    score_pool(str(tmp_path))
    with pytest.raises(ConfigError, match=r"no dfn scores in .* \(there: clip-x-00000000\): run `datascaler score`"):
        select_subset(out, fraction="1/2", method="dfn")
    with pytest.raises(ConfigError, match="clip-x-00000000 holds scores of method clip, not dfn"):
        select_subset(out, fraction="1/2", method="dfn", score_name="clip-x-00000000")
    with pytest.raises(ConfigError, match="3 of 3 shards have no scores yet"):
        select_subset(out, fraction="1/2", method="clip", score_name="missing")
    score_pool(str(tmp_path), "clip-y-11111111")
    with pytest.raises(ConfigError, match=r"choose with --score-name clip-x-00000000 \| clip-y-11111111"):
        select_subset(out, fraction="1/2", method="clip")
    with pytest.raises(ConfigError, match="unknown subset format 'csv'; known: npy, pkl, trie"):
        select_subset(out, fraction="1/2", method="clip", formats=("npy", "csv"))
    with pytest.raises(ConfigError, match=r"give a method .* or a mix of scores, not both"):
        select_subset(out, fraction="1/2")
    assert not storage.exists(f"{out}/subsets")
