"""The frozen shard list: written once, then the same for everybody."""

import io
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from datascaler import storage
from datascaler.data.pool.shard_list import frozen_shards, read_frozen_shards, verified_shards
from datascaler.data.pool.shards import find_shards
from datascaler.errors import ConfigError


def make_pool(url: str, names: tuple[str, ...] = ("a", "b", "c")) -> str:
    for name in names:
        storage.publish_bytes(f"{url}/shards/{name}.tar", name.encode() * 512)
    return url


@pytest.fixture(params=["local", "s3"])
def folder(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue("s3_url" if request.param == "s3" else "tmp_path"))


def test_the_first_listing_is_kept(folder: str) -> None:
    pool, out = make_pool(f"{folder}/pool"), f"{folder}/out"
    frozen = frozen_shards(out, pool)
    assert frozen == find_shards(pool)
    assert [(shard.name, shard.size) for shard in frozen] == [(f"shards/{name}.tar", 512) for name in "abc"]
    make_pool(pool, ("d",))
    storage.remove(f"{pool}/shards/a.tar")
    assert frozen_shards(out, pool) == read_frozen_shards(out) == frozen
    assert frozen_shards(out, pool + "/") == frozen


def test_another_pool_needs_another_folder(tmp_path: Path) -> None:
    first, second = make_pool(f"{tmp_path}/first"), make_pool(f"{tmp_path}/second", ("d", "e"))
    frozen_shards(f"{tmp_path}/out", first)
    with pytest.raises(ConfigError, match=r"was started on the pool .*/first, not .*/second; use another --output-dir"):
        frozen_shards(f"{tmp_path}/out", second)
    with pytest.raises(ConfigError, match="use another --output-dir"):
        frozen_shards(f"{tmp_path}/out", f"{first}::{second}")


def test_several_data_dirs(tmp_path: Path) -> None:
    both = f"{make_pool(f'{tmp_path}/first')}::{make_pool(f'{tmp_path}/second')}"
    frozen = frozen_shards(f"{tmp_path}/out", both)
    assert [shard.name for shard in frozen] == [f"{number}/shards/{name}.tar" for number in (0, 1) for name in "abc"]
    assert verified_shards(f"{tmp_path}/out", frozen, both) == frozen


def test_before_scoring_there_is_no_list(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="run `datascaler score` into this --output-dir first"):
        read_frozen_shards(str(tmp_path))


def test_a_replaced_shard_is_named_and_a_missing_one_is_not_an_error(folder: str) -> None:
    pool = make_pool(f"{folder}/pool")
    frozen = frozen_shards(f"{folder}/out", pool)
    storage.remove(f"{pool}/shards/a.tar")
    assert verified_shards(f"{folder}/out", frozen, pool) == frozen
    storage.publish_bytes(f"{pool}/shards/b.tar", b"B" * 512)
    with pytest.raises(ConfigError, match=r"shards/b\.tar has changed: size 512 and etag"):
        verified_shards(f"{folder}/out", frozen, pool)
    verified_shards(f"{folder}/out", [shard for shard in frozen if shard.name != "shards/b.tar"], pool)


def test_a_file_that_is_no_shard_list_is_refused(tmp_path: Path) -> None:
    pool, url = make_pool(f"{tmp_path}/pool"), f"{tmp_path}/out/shards.parquet"
    columns = {"url": ["x"], "name": ["x"], "size": [1], "etag": ["x"]}
    for content, reason in (
        (b"not parquet", "is not a readable parquet file"),
        (b"", "is not a readable parquet file"),
        (parquet_of({"shard": ["x"]}), "has no column"),
        (parquet_of(columns), "does not say which pool it is of"),
    ):
        storage.publish_bytes(url, content)
        with pytest.raises(ConfigError, match=rf"out/shards\.parquet .*{reason}"):
            read_frozen_shards(f"{tmp_path}/out")
        with pytest.raises(ConfigError, match=rf"out/shards\.parquet .*{reason}"):
            frozen_shards(f"{tmp_path}/out", pool)


def parquet_of(columns: Mapping[str, object]) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()
