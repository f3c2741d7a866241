"""DataComp's metadata files as a pool."""

from pathlib import Path

import pyarrow as pa
import pytest

from datascaler import storage
from datascaler.data.pool.shard_list import frozen_shards, read_frozen_shards
from datascaler.data.pool.uids import join_uid
from datascaler.data.tables.datacomp_metadata import find_metadata, is_metadata, read_metadata
from datascaler.errors import BadInputError, ConfigError
from tests.data.metadata_files import make_metadata, metadata_rows, write_metadata


@pytest.mark.parametrize("where", ["local", "s3"])
def test_the_files_are_listed_and_frozen_below_the_folder_or_its_metadata(
    request: pytest.FixtureRequest, where: str
) -> None:
    folder = str(request.getfixturevalue("s3_url" if where == "s3" else "tmp_path"))
    make_metadata(f"{folder}/pool/metadata")
    write_metadata(f"{folder}/pool/shards/00000000.parquet", {"uid": ["a downloader's log"]})
    found = find_metadata(f"{folder}/pool")
    assert [shard.name for shard in found] == [f"part_{number}/{number:032x}.parquet" for number in (0, 1)]
    assert find_metadata(f"{folder}/pool/metadata") == found
    assert all(is_metadata(shard) for shard in found)
    out = f"{folder}/out"
    assert frozen_shards(out, f"{folder}/pool", find_metadata) == read_frozen_shards(out) == found


def test_rows_have_uids_and_no_place(tmp_path: Path) -> None:
    columns = metadata_rows(5)
    uids = columns["uid"]
    columns["uid"] = [uids[0].upper(), "too short", None, uids[3], "g" * 32]
    write_metadata(f"{tmp_path}/a.parquet", columns)
    (shard,) = find_metadata(str(tmp_path))
    table = read_metadata(shard, ["text"])
    assert table["status"].to_pylist() == ["ok", "no uid", "no uid", "ok", "no uid"]
    pairs = zip(table["uid_high"].to_pylist(), table["uid_low"].to_pylist(), strict=True)
    assert [join_uid(*pair) for pair in pairs] == [uids[0], "0" * 32, "0" * 32, uids[3], "0" * 32]
    assert set(table["offset"].to_pylist()) == set(table["length"].to_pylist()) == {0}
    assert table["text"].to_pylist() == columns["text"]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_any_kind_of_text_column_and_no_rows_at_all(tmp_path: Path, kind: pa.DataType) -> None:
    uids = metadata_rows(3)["uid"]
    write_metadata(f"{tmp_path}/a.parquet", {"uid": pa.array(uids).cast(kind)})
    write_metadata(f"{tmp_path}/b.parquet", {"uid": pa.array([], pa.string()).cast(kind)})
    some, none = find_metadata(str(tmp_path))
    assert read_metadata(some, [])["status"].to_pylist() == ["ok"] * 3
    assert read_metadata(none, []).num_rows == 0


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no \.parquet files in .*nowhere nor in .*nowhere/metadata"):
        find_metadata(f"{tmp_path}/nowhere")
    write_metadata(f"{tmp_path}/a.parquet", {"uid": metadata_rows(1)["uid"]})
    (shard,) = find_metadata(str(tmp_path))
    with pytest.raises(BadInputError, match=r"a\.parquet has no column 'text'"):
        read_metadata(shard, ["text"])
    storage.publish_bytes(f"{tmp_path}/a.parquet", b"something else")
    with pytest.raises(ConfigError, match="has changed"):
        read_metadata(shard, [])
