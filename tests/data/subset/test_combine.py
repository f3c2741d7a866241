"""Subsets combined, as multisets, against Python's Counter."""

import json
from collections import Counter
from functools import reduce
from pathlib import Path
from random import Random

import numpy as np
import pytest

from datascaler.data.pool.uids import UID_DTYPE, uid_array, uid_hex
from datascaler.data.subset.combine import OPERATIONS, combine_subsets, combine_uids
from datascaler.data.subset.subset import read_recipe, read_subset, subset_digest
from datascaler.errors import ConfigError
from tests.data.subset_files import OFTEN, UIDS, run, save


def by_counter(operation: str, subsets: list[list[tuple[int, int]]]) -> Counter[tuple[int, int]]:
    first, *others = map(Counter, subsets)
    if operation == "and":
        return Counter({uid: times for uid, times in first.items() if all(uid in other for other in others)})
    if operation == "minus":
        return Counter({uid: times for uid, times in first.items() if not any(uid in other for other in others)})
    if operation == "or":
        return reduce(lambda left, right: left | right, others, first)
    return reduce(lambda left, right: left + right, others, first)


@pytest.mark.parametrize("seed", range(60))
@pytest.mark.parametrize("operation", OPERATIONS)
def test_like_counters(monkeypatch: pytest.MonkeyPatch, operation: str, seed: int) -> None:
    monkeypatch.setattr("datascaler.data.subset.combine._NEEDLES_AT_A_TIME", 5)
    generator = Random(seed)
    # Few different halves, so that uids often share one.
    universe = [(generator.randrange(2 + seed % 5), generator.randrange(6)) for _ in range(20)]
    subsets = [
        sorted(generator.choices(universe, k=generator.randrange(1, 25))) for _ in range(generator.randint(2, 4))
    ]
    found = combine_uids(operation, [np.array(subset, UID_DTYPE) for subset in subsets]).tolist()
    assert found == sorted(by_counter(operation, subsets).elements())


def test_the_recipe_names_the_inputs_by_their_digests(tmp_path: Path) -> None:
    of_the_pool = {"tables": "s3://out/scores/x", "pool_digest": "p", "score_id": "x"}
    first = save(tmp_path / "a.npy", OFTEN, {"method": "clip", "fraction": "0.3", **of_the_pool})
    second = save(tmp_path / "b.npy", UIDS[::2])
    made = combine_subsets("and", [first, second], f"{tmp_path}/Both.npy")
    kept = [uid for uid in OFTEN if uid in UIDS[::2]]
    assert (made.file, made.uids, made.distinct) == (f"{tmp_path}/Both.npy", 21, 20)
    assert made.inputs == {first: 43, second: 20}
    assert uid_hex(read_subset(made.file)) == kept
    recipe = read_recipe(made.file)
    assert recipe is not None
    assert recipe["digest"] == subset_digest(uid_array(kept))
    assert (recipe["method"], recipe["kept_uids"], recipe["distinct_uids"]) == ("both", 21, 20)
    assert recipe["rule"] == "and: the uids of the first that are in all others, as often as the first has them"
    assert recipe["inputs"] == [
        {"subset": first, "digest": subset_digest(uid_array(OFTEN)), "uids": 43},
        {"subset": second, "digest": subset_digest(uid_array(UIDS[::2])), "uids": 20},
    ]
    assert {key: recipe[key] for key in of_the_pool} == of_the_pool
    assert "fraction" not in recipe


def test_of_two_pools_the_recipe_names_none(tmp_path: Path) -> None:
    first = save(tmp_path / "a.npy", UIDS[:20], {"tables": "t", "pool_digest": "p"})
    second = save(tmp_path / "b.npy", UIDS[10:], {"tables": "u", "pool_digest": "q"})
    recipe = read_recipe(combine_subsets("or", [first, second], f"{tmp_path}/c.npy").file)
    assert recipe is not None
    assert "tables" not in recipe


def test_combining_to_nothing_or_over_another_subset_is_refused(tmp_path: Path) -> None:
    first, second = save(tmp_path / "a.npy", UIDS[:20]), save(tmp_path / "b.txt.npy", UIDS[20:])
    with pytest.raises(ConfigError, match=r"no uid is left, so .*c\.npy is not written"):
        combine_subsets("and", [first, second], f"{tmp_path}/c.npy")
    combine_subsets("or", [first, second], f"{tmp_path}/c.npy")
    with pytest.raises(ConfigError, match=r"c\.json describes another subset \(\w+\): choose another name, or --over"):
        combine_subsets("minus", [first, second], f"{tmp_path}/c.npy")
    combine_subsets("minus", [first, second], f"{tmp_path}/c.npy", overwrite=True)
    assert uid_hex(read_subset(f"{tmp_path}/c.npy")) == UIDS[:20]
    with pytest.raises(ConfigError, match=r"unknown subset format"):
        combine_subsets("or", [first, second], f"{tmp_path}/c.csv")


def test_combine_in_the_terminal(tmp_path: Path) -> None:
    first, second = save(tmp_path / "a.npy", UIDS[:20]), save(tmp_path / "b.npy", UIDS[10:])
    result = run("combine", "minus", first, second, "--output", f"{tmp_path}/c.txt", "--json")
    assert json.loads(result.stdout) == {
        "file": f"{tmp_path}/c.txt", "uids": 10, "distinct": 10, "inputs": {first: 20, second: 30},
    }  # fmt: skip
    assert (tmp_path / "c.txt").read_text().split() == UIDS[:10]
    for words in (["xor", first, second], ["or", first], ["or"]):
        assert run("combine", *words, "--output", f"{tmp_path}/d.npy").exit_code == 2
