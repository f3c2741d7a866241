"""Subsets in other formats: repeats kept, or dropped when asked, and recipes that describe what they lie beside."""

import json
from pathlib import Path

import numpy as np
import pytest

from datascaler.data.pool.uids import uid_array, uid_hex
from datascaler.data.subset.convert import convert_subset
from datascaler.data.subset.subset import read_recipe, read_subset, subset_digest
from datascaler.errors import ConfigError, DamagedError
from tests.data.subset_files import OFTEN, UIDS, run, save


@pytest.mark.parametrize("suffix", ["npy", "txt", "parquet"])
def test_repeats_survive_every_way_through_formats_that_hold_them(tmp_path: Path, suffix: str) -> None:
    source = save(tmp_path / "a.npy", OFTEN[::-1])
    made = convert_subset(source, f"{tmp_path}/b.{suffix}")
    assert (made.uids, made.dropped_repeats, made.was_sorted) == (43, 0, False)
    back = convert_subset(made.file, f"{tmp_path}/c.npy")
    assert back.was_sorted
    assert uid_hex(read_subset(back.file)) == OFTEN


@pytest.mark.parametrize("suffix", ["pkl", "trie"])
def test_repeats_are_dropped_only_when_asked(tmp_path: Path, suffix: str) -> None:
    source = save(tmp_path / "a.npy", OFTEN, {"method": "sampled", "kept_uids": 43})
    with pytest.raises(ConfigError, match=rf"3 of 43 uids are repeats, which \.{suffix} can't hold"):
        convert_subset(source, f"{tmp_path}/b.{suffix}")
    made = convert_subset(source, f"{tmp_path}/b.{suffix}", drop_repeats=True)
    assert (made.uids, made.dropped_repeats) == (40, 3)
    assert uid_hex(read_subset(made.file)) == UIDS
    recipe = read_recipe(made.file)
    assert recipe is not None
    assert (recipe["method"], recipe["kept_uids"], recipe["dropped_repeats"]) == ("sampled", 40, 3)
    assert recipe["converted_from"] == {"subset": source, "digest": subset_digest(uid_array(OFTEN))}


def test_beside_its_source_a_copy_shares_the_recipe(tmp_path: Path) -> None:
    source = save(tmp_path / "a.npy", UIDS, {"method": "clip"})
    convert_subset(source, f"{tmp_path}/a.txt")
    recipe = {"method": "clip", "digest": subset_digest(uid_array(UIDS)), "formats": ["npy", "txt"]}
    assert read_recipe(source) == recipe


def test_a_recipe_is_never_left_beside_what_it_does_not_describe(tmp_path: Path) -> None:
    source = save(tmp_path / "a.npy", OFTEN, {"method": "sampled"})
    with pytest.raises(ConfigError, match=r"a\.json describes another subset"):
        convert_subset(source, f"{tmp_path}/a.pkl", drop_repeats=True)
    with pytest.raises(ConfigError, match=r"a\.npy would overwrite itself"):
        convert_subset(source, source, drop_repeats=True)
    # A file that was replaced beside its recipe, or damaged: nobody can tell which of both is meant.
    np.save(tmp_path / "a.npy", uid_array(UIDS[:5]))
    with pytest.raises(DamagedError, match=r"a\.npy is not what its recipe .*a\.json was written for"):
        convert_subset(source, f"{tmp_path}/b.npy")
    (tmp_path / "a.json").unlink()
    recipe = read_recipe(convert_subset(source, f"{tmp_path}/b.npy").file)
    assert recipe is not None
    assert "method" not in recipe


def test_convert_in_the_terminal(tmp_path: Path) -> None:
    source = save(tmp_path / "a.npy", OFTEN)
    result = run("convert", source, f"{tmp_path}/b.trie", "--drop-repeats", "--json")
    assert json.loads(result.stdout) == {
        "file": f"{tmp_path}/b.trie", "uids": 40, "dropped_repeats": 3, "was_sorted": True,
    }  # fmt: skip
    assert run("convert", source).exit_code == 2
