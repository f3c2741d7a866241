"""What each subset format holds: repeats or not, in any order, and what is wrong with a file that is none."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from datascaler.data.pool.hex_uids import digits_of_uids, uids_of_column, uids_of_digits
from datascaler.data.pool.uids import UID_DTYPE, uid_array, uid_hex
from datascaler.data.subset.multiset import count_repeats, distinct_counts
from datascaler.data.subset.subset import FORMATS, open_subset, read_subset, subset_digest, write_subset
from datascaler.errors import ConfigError
from tests.data.made_tables import uids_of

UIDS = sorted(uids_of(100))
REPEATED = sorted([*UIDS, UIDS[0], UIDS[7], UIDS[7], UIDS[99]])
WITH_REPEATS = ["npy", "txt", "parquet"]


def parquet(path: Path, **columns: Any) -> str:
    pq.write_table(pa.table(columns), path)
    return str(path)


@pytest.mark.parametrize("where", ["local", "s3"])
def test_every_format_comes_back(request: pytest.FixtureRequest, tmp_path: Path, where: str) -> None:
    folder = request.getfixturevalue("s3_url") if where == "s3" else str(tmp_path)
    for url in write_subset(f"{folder}/best", uid_array(UIDS), {}, FORMATS):
        found = open_subset(url)
        assert uid_hex(found.uids) == UIDS
        assert found.was_sorted is (None if url.endswith((".pkl", ".trie")) else True)
    for url in write_subset(f"{folder}/often", uid_array(REPEATED), {}, WITH_REPEATS):
        assert uid_hex(read_subset(url)) == REPEATED


@pytest.mark.parametrize("name", ["pkl", "trie"])
def test_a_set_that_would_lose_repeats_is_not_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        write_subset(f"{tmp_path}/often", uid_array(REPEATED), {}, ["npy", name])
    assert str(caught.value) == (
        f"4 of 104 uids are repeats, which .{name} can't hold: choose .npy, .txt, .parquet, or drop the repeats"
    )
    assert list(tmp_path.iterdir()) == []


def test_unknown_formats_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown subset format 'csv'; known: npy, pkl, trie, txt, parquet"):
        write_subset(f"{tmp_path}/a", uid_array(UIDS), {}, ["npy", "csv"])
    assert list(tmp_path.iterdir()) == []


def test_unsorted_files_are_sorted_and_say_so(tmp_path: Path) -> None:
    mixed = uid_array(REPEATED[::-1])
    np.save(tmp_path / "a.npy", mixed)
    (tmp_path / "raw.npy").write_bytes(mixed.tobytes())
    (tmp_path / "a.txt").write_text("\n".join(REPEATED[::-1]))
    parquet(tmp_path / "a.parquet", uid_high=mixed["f0"].copy(), uid_low=mixed["f1"].copy())
    for name in ("a.npy", "raw.npy", "a.txt", "a.parquet"):
        found = open_subset(f"{tmp_path}/{name}")
        assert found.was_sorted is False
        assert uid_hex(found.uids) == REPEATED


def test_a_sorted_array_is_mapped_not_read(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", uid_array(UIDS))
    (tmp_path / "raw.npy").write_bytes(uid_array(UIDS).tobytes())
    for name in ("a.npy", "raw.npy"):
        uids = read_subset(f"{tmp_path}/{name}")
        assert isinstance(uids.base, np.memmap)
        assert not uids.flags.writeable


# ---- text ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(UIDS),
        "\r\n".join(UIDS) + "\r\n",
        "\n\n" + "\n\n".join(f"  {uid}\t" for uid in UIDS) + "\n\n\n",
        "\n".join(uid.upper() for uid in UIDS) + "\n",
        "\ufeff" + "\n".join(UIDS),
    ],
    ids=["no last newline", "carriage returns", "blanks", "capitals", "byte order mark"],
)
@pytest.mark.parametrize("lines_at_a_time", [1, 7, 1 << 20])
def test_text_as_editors_leave_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, lines_at_a_time: int
) -> None:
    monkeypatch.setattr("datascaler.data.subset.text_format._LINES_AT_A_TIME", lines_at_a_time)
    (tmp_path / "a.txt").write_bytes(text.encode())
    assert uid_hex(read_subset(f"{tmp_path}/a.txt")) == UIDS


@pytest.mark.parametrize(
    ("number", "line"),
    [(1, "uid"), (3, UIDS[2][:31]), (5, UIDS[4][:31] + "g"), (100, UIDS[99] + "0"), (7, "\ufeff" + UIDS[6])],
)
@pytest.mark.parametrize("lines_at_a_time", [3, 1 << 20])
def test_a_wrong_line_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, line: str, lines_at_a_time: int
) -> None:
    monkeypatch.setattr("datascaler.data.subset.text_format._LINES_AT_A_TIME", lines_at_a_time)
    lines = list(UIDS)
    lines[number - 1] = line
    (tmp_path / "a.txt").write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(ConfigError, match=rf"a\.txt: line {number} is not a uid of 32 hex digits: "):
        read_subset(f"{tmp_path}/a.txt")


def test_text_without_uids(tmp_path: Path) -> None:
    for text in ("", "\n \n"):
        (tmp_path / "a.txt").write_text(text)
        with pytest.raises(ConfigError, match=r"a\.txt holds no uids"):
            read_subset(f"{tmp_path}/a.txt")


# ---- parquet ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "column",
    [
        pa.array(REPEATED),
        pa.array(REPEATED, pa.large_string()),
        pa.array(REPEATED).dictionary_encode(),
        pa.chunked_array([REPEATED[:3], [], REPEATED[3:]]),
        pa.array(["", *REPEATED])[1:],
    ],
    ids=["string", "large string", "dictionary", "chunks", "slice"],
)
def test_a_column_of_hex_uids_as_in_datacomps_metadata(tmp_path: Path, column: Any) -> None:
    assert uid_hex(read_subset(parquet(tmp_path / "a.parquet", text=["x"] * len(REPEATED), uid=column))) == REPEATED


HALF = np.arange(3, dtype=np.uint64)


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"key": ["a"]}, "expected the columns uid_high and uid_low, or uid; found key"),
        ({"uid_high": HALF}, "expected the columns uid_high and uid_low, or uid; found uid_high"),
        ({"uid_high": HALF, "uid_low": HALF.astype(np.int64)}, "column uid_low is int64, not uint64"),
        ({"uid_high": HALF, "uid_low": pa.array([1, None, 2], pa.uint64())}, "column uid_low has 1 nulls"),
        ({"uid": [UIDS[0], None]}, "column uid has 1 nulls"),
        ({"uid": [UIDS[0], "short"]}, "row 1 is not a uid of 32 hex digits: 'short'"),
        ({"uid": [1, 2]}, "row 0 is not a uid of 32 hex digits: 1"),
        ({"uid": [[UIDS[0]]]}, "column uid holds other things than uids of 32 hex digits"),
        ({"uid": [UIDS[0], "g" * 32]}, f"row 1 is not a uid of 32 hex digits: '{'g' * 32}'"),
        ({"uid": pa.array([], pa.string())}, "holds no uids"),
    ],
)
def test_parquet_of_something_else(tmp_path: Path, columns: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_subset(parquet(tmp_path / "a.parquet", **columns))
    assert reason in str(caught.value)
    assert f"{tmp_path}/a.parquet" in str(caught.value)


def test_a_file_that_is_not_parquet(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(ConfigError, match="is not a readable parquet file"):
        read_subset(f"{tmp_path}/a.parquet")


# ---- the pieces ------------------------------------------------------------------------------------------------


def test_digits_and_uids_in_bulk() -> None:
    uids = uid_array(["0" * 32, "f" * 32, *UIDS])
    digits = digits_of_uids(uids)
    assert [bytes(row).decode() for row in digits] == uid_hex(uids)
    back, is_hex = uids_of_digits(digits)
    assert (back == uids).all()
    assert is_hex.all()
    digits[5, 31] = ord(" ")
    back, is_hex = uids_of_digits(digits)
    assert np.flatnonzero(~is_hex).tolist() == [5]
    assert (back[is_hex] == uids[is_hex]).all()


def test_uids_of_a_column() -> None:
    texts = [None, "0" * 31 + "F", "g" * 32, "abc", "\u00e9" * 16, "0" * 32]
    for column in (pa.array(texts), pa.array(texts).dictionary_encode(), pa.array(["", *texts]).slice(1)):
        uids, is_uid = uids_of_column(pa.chunked_array([column.slice(0, 4), column.slice(4)]))
        assert is_uid.tolist() == [False, True, False, False, False, True]
        assert uid_hex(uids) == ["0" * 32, "0" * 31 + "f", *["0" * 32] * 4]
    assert len(uids_of_column(pa.chunked_array([], pa.string()))[0]) == 0


def test_counts_of_a_multiset() -> None:
    distinct, counts = distinct_counts(uid_array(REPEATED))
    assert uid_hex(distinct) == UIDS
    assert counts.tolist() == [REPEATED.count(uid) for uid in UIDS]
    assert count_repeats(uid_array(REPEATED)) == 4
    empty, none = distinct_counts(np.empty(0, UID_DTYPE))
    assert (len(empty), len(none)) == (0, 0)
    # Two uids that share a half are two.
    halves = np.array([(1, 1), (1, 2), (2, 2), (2, 2)], UID_DTYPE)
    assert distinct_counts(halves)[1].tolist() == [1, 1, 2]


def test_the_digest_does_not_depend_on_how_the_uids_lie_in_memory() -> None:
    uids = uid_array(REPEATED)
    assert subset_digest(uids) == subset_digest(np.repeat(uids, 2)[::2])
