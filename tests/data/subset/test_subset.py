"""Subset files: ours and other people's, in every form, and nothing that a file says is ever run."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import marisa_trie
import numpy as np
import pytest

from datascaler.data.pool.uids import UID_DTYPE, uid_array, uid_hex
from datascaler.data.subset.subset import read_recipe, read_subset, subset_digest, write_subset
from datascaler.errors import ConfigError
from tests.data.made_tables import uids_of

UIDS = sorted(uids_of(100))


class Call:
    """A pickle of this calls what it was given."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self._call = (function, arguments)

    def __reduce__(self) -> Any:
        return self._call


def save(path: Path, content: Any, protocol: int = 4) -> str:
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return str(path)


@pytest.mark.parametrize("where", ["local", "s3"])
def test_every_format_comes_back(request: pytest.FixtureRequest, tmp_path: Path, where: str) -> None:
    folder = request.getfixturevalue("s3_url") if where == "s3" else str(tmp_path)
    urls = write_subset(f"{folder}/best", uid_array(UIDS), {"method": "clip"}, ["npy", "pkl", "trie"])
    assert [url.rpartition("best")[2] for url in urls] == [".npy", ".pkl", ".trie"]
    for url in urls:
        assert uid_hex(read_subset(url)) == UIDS
        recipe = read_recipe(url)
        assert recipe == {
            "method": "clip",
            "digest": subset_digest(uid_array(UIDS)),
            "formats": ["npy", "pkl", "trie"],
        }


def test_datacomps_own_readers_can_use_what_we_write(tmp_path: Path) -> None:
    npy, pkl, trie = write_subset(f"{tmp_path}/a", uid_array(UIDS), {}, ["npy", "pkl", "trie"])
    assert np.load(npy).dtype == np.dtype("u8,u8")
    assert np.load(npy, mmap_mode="r").tolist() == [(int(uid[:16], 16), int(uid[16:], 16)) for uid in UIDS]
    assert pickle.loads(Path(pkl).read_bytes()) == set(UIDS)
    loaded = marisa_trie.Trie()
    loaded.load(trie)
    assert sorted(loaded.keys()) == UIDS


def test_a_file_that_datacomp_wrote(tmp_path: Path) -> None:
    # DataComp's own lines: pairs of the halves, dtype u8,u8, sorted, saved.
    pairs = np.array([(int(uid[:16], 16), int(uid[16:32], 16)) for uid in UIDS[::-1]], np.dtype("u8,u8"))
    pairs.sort()
    np.save(tmp_path / "theirs.npy", pairs)
    assert uid_hex(read_subset(f"{tmp_path}/theirs.npy")) == UIDS
    assert read_recipe(f"{tmp_path}/theirs.npy") is None


def test_a_memmap_without_a_header(tmp_path: Path) -> None:
    mapped = np.memmap(tmp_path / "raw.npy", mode="w+", dtype=UID_DTYPE, shape=(len(UIDS),))
    mapped[:] = uid_array(UIDS)
    mapped.flush()
    assert uid_hex(read_subset(f"{tmp_path}/raw.npy")) == UIDS


def test_unsorted_is_sorted_and_repeats_are_kept(tmp_path: Path) -> None:
    repeated = [*UIDS[::-1], UIDS[3], UIDS[3], UIDS[50]]
    np.save(tmp_path / "repeats.npy", uid_array(repeated))
    assert uid_hex(read_subset(f"{tmp_path}/repeats.npy")) == sorted(repeated)
    (tmp_path / "raw.npy").write_bytes(uid_array(repeated).tobytes())
    assert uid_hex(read_subset(f"{tmp_path}/raw.npy")) == sorted(repeated)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "make",
    [set, frozenset, list, tuple, dict.fromkeys, uid_array, lambda uids: uid_array(uids)[::-1]],
    ids=["set", "frozenset", "list", "tuple", "dict", "array", "view"],
)
def test_pickles_of_plain_data(tmp_path: Path, make: Callable[[list[str]], Any], protocol: int) -> None:
    assert uid_hex(read_subset(save(tmp_path / "a.pkl", make(UIDS), protocol))) == UIDS


def test_capital_digits_and_other_suffixes(tmp_path: Path) -> None:
    assert uid_hex(read_subset(save(tmp_path / "a.pickle", [uid.upper() for uid in UIDS]))) == UIDS
    assert uid_hex(read_subset(save(tmp_path / "b.PKL", UIDS))) == UIDS


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ([], "holds no uids"),
        (set(), "holds no uids"),
        ("0" * 32, "expected a set, list or dict of uids, found str"),
        (5, "expected a set, list or dict of uids, found int"),
        ([UIDS[0], "not hex"], "not a uid of 32 hex digits: 'not hex'"),
        ([UIDS[0].encode()], "not a uid of 32 hex digits"),
        ({0: UIDS[0]}, "not a uid of 32 hex digits: 0"),
        ([[UIDS[0]]], "not a uid of 32 hex digits"),
        (np.arange(4, dtype=np.uint64), "expected an array of one dimension and dtype u8,u8, found 1 of <u8"),
        (uid_array(UIDS).astype(">u8,>u8"), "expected an array of one dimension and dtype u8,u8"),
        (uid_array(UIDS).reshape(10, 10), "dtype u8,u8, found 2 of"),
        (np.array(UIDS), "dtype u8,u8, found 1 of <U32"),
        (np.array(UIDS, dtype=object), "dtype u8,u8, found 1 of"),
        ([uid_array(UIDS)], "not a uid of 32 hex digits"),
    ],
)
def test_pickles_of_something_else(tmp_path: Path, content: Any, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_subset(save(tmp_path / "a.pkl", content))
    assert reason in str(caught.value)
    assert str(caught.value).startswith(f"{tmp_path}/a.pkl")
    assert "\n" not in str(caught.value)


def test_a_pickle_runs_nothing(tmp_path: Path) -> None:
    marker, kept = tmp_path / "was-run", tmp_path / "kept"
    kept.touch()
    python = f"open({str(marker)!r}, 'w').close()"
    calls = {
        "posix.system": Call(os.system, f"touch {marker}"),
        "posix.remove": Call(os.remove, str(kept)),
        "builtins.eval": Call(eval, python),
        "builtins.exec": Call(exec, python),
        "builtins.getattr": Call(getattr, "", "upper"),
        "builtins.__import__": Call(__import__, "os"),
        "numpy.load": Call(np.load, str(marker)),
    }
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        for name, call in calls.items():
            with pytest.raises(ConfigError) as caught:
                read_subset(save(tmp_path / "evil.pkl", [*UIDS, call], protocol))
            assert f"refused: the pickle names {name}, " in str(caught.value)
            assert "\n" not in str(caught.value)
    assert kept.exists()
    assert not marker.exists()


def test_an_attribute_of_an_allowed_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "evil.pkl").write_bytes(b"\x80\x04\x8c\x08builtins\x8c\x0dset.__class__\x93.")
    with pytest.raises(ConfigError, match=r"refused: the pickle names builtins\.set\.__class__"):
        read_subset(f"{tmp_path}/evil.pkl")


def test_an_object_array_over_raw_addresses_is_never_made(tmp_path: Path) -> None:
    # numpy.ndarray((1,), dtype("O"), buffer) takes the buffer's bytes for the address of an object: looking at the
    # array crashes the interpreter, or runs what an attacker put there. pickle can write that call.
    evil = Call(np.ndarray, (1,), np.dtype(object), b"\x41" * 8)
    for content in (evil, [evil], {"a": evil}, Call(np.dtype, "O")):
        with pytest.raises(ConfigError):
            read_subset(save(tmp_path / "evil.pkl", content))
    # The values of a dict are not looked at, so there it is only an inert stand-in.
    assert uid_hex(read_subset(save(tmp_path / "evil.pkl", {UIDS[0]: evil}))) == UIDS[:1]
    hidden = pickle.dumps(np.array([Call(print, "x")], dtype=object), protocol=4)
    (tmp_path / "evil.pkl").write_bytes(hidden)
    with pytest.raises(ConfigError, match=r"refused: the pickle names builtins\.print"):
        read_subset(f"{tmp_path}/evil.pkl")


def test_stand_ins_cannot_be_changed_by_a_pickle(tmp_path: Path) -> None:
    # BUILD (b) with a pair of states would set attributes of whatever is on the stack: here, of a class.
    (tmp_path / "evil.pkl").write_bytes(b"\x80\x02cnumpy\nndarray\n(N}X\x04\x00\x00\x00uidsK\x01stb.")
    with pytest.raises(ConfigError, match="not a readable pickle"):
        read_subset(f"{tmp_path}/evil.pkl")
    assert uid_hex(read_subset(save(tmp_path / "good.pkl", uid_array(UIDS)))) == UIDS


@pytest.mark.parametrize("content", [b"", b"not a pickle", b"\x80\x04", pickle.dumps(UIDS)[:-20], b"\x80\x04P0\n."])
def test_a_broken_pickle(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.pkl").write_bytes(content)
    with pytest.raises(ConfigError, match=r"a\.pkl: not a readable pickle"):
        read_subset(f"{tmp_path}/a.pkl")


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.arange(4, dtype=np.uint64), "expected one dimension of dtype u8,u8, found 1 of uint64"),
        (uid_array(UIDS).reshape(10, 10), "found 2 of"),
        (uid_array(UIDS).astype(">u8,>u8"), "expected one dimension of dtype u8,u8"),
        (np.array(UIDS), "found 1 of <U32"),
        (uid_array([]), "holds no uids"),
    ],
)
def test_arrays_of_something_else(tmp_path: Path, array: Any, reason: str) -> None:
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(ConfigError) as caught:
        read_subset(f"{tmp_path}/a.npy")
    assert reason in str(caught.value)


def test_a_pickle_inside_an_array_is_refused(tmp_path: Path) -> None:
    marker = tmp_path / "was-run"
    np.save(tmp_path / "a.npy", np.array([Call(open, str(marker), "w")], dtype=object), allow_pickle=True)
    with pytest.raises(ConfigError, match=r"a\.npy: not a readable \.npy file"):
        read_subset(f"{tmp_path}/a.npy")
    assert not marker.exists()


@pytest.mark.parametrize("cut", [7, 60, 200])
def test_a_truncated_array(tmp_path: Path, cut: int) -> None:
    np.save(tmp_path / "a.npy", uid_array(UIDS))
    (tmp_path / "a.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:cut])
    with pytest.raises(ConfigError, match=r"a\.npy: not a readable \.npy file"):
        read_subset(f"{tmp_path}/a.npy")


@pytest.mark.parametrize("content", [b"", b"\x00" * 17])
def test_raw_bytes_that_are_no_uids(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(ConfigError, match=rf"neither a \.npy file nor raw 16-byte uids \({len(content)} bytes\)"):
        read_subset(f"{tmp_path}/a.npy")


def test_tries_of_something_else(tmp_path: Path) -> None:
    good = marisa_trie.Trie(UIDS).tobytes()
    for content in (b"", b"junk" * 20, good[: len(good) // 2]):
        (tmp_path / "a.trie").write_bytes(content)
        with pytest.raises(ConfigError, match=r"a\.trie: not a readable marisa trie"):
            read_subset(f"{tmp_path}/a.trie")
    marisa_trie.Trie([*UIDS, "more"]).save(f"{tmp_path}/a.trie")
    with pytest.raises(ConfigError, match="not a uid of 32 hex digits: 'more'"):
        read_subset(f"{tmp_path}/a.trie")
    marisa_trie.Trie([]).save(f"{tmp_path}/a.trie")
    with pytest.raises(ConfigError, match="holds no uids"):
        read_subset(f"{tmp_path}/a.trie")


@pytest.mark.parametrize("name", ["a.csv", "a.npy.gz", "npy"])
def test_unknown_suffixes(tmp_path: Path, name: str) -> None:
    with pytest.raises(
        ConfigError, match=r"unknown subset format: expected \.npy, \.pkl, \.trie, \.txt, \.parquet, got .*"
    ):
        read_subset(f"{tmp_path}/{name}")


def test_a_recipe_that_is_somebody_elses_json_is_none(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", uid_array(UIDS))
    for content in ("[1, 2]", '{"license": "MIT"}', "null"):
        (tmp_path / "a.json").write_text(content)
        assert read_recipe(f"{tmp_path}/a.npy") is None


def test_the_digest_names_the_multiset() -> None:
    once, twice = uid_array(UIDS), uid_array(sorted([*UIDS, UIDS[0]]))
    assert subset_digest(once) == subset_digest(once.copy()) != subset_digest(twice)
