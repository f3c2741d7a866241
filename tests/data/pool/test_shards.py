"""What counts as a shard of a pool, and what it is called."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from datascaler import storage
from datascaler.data.pool.shards import find_shards, is_version, pool_digest, require_unchanged
from datascaler.data.tables.index_tables import index_part
from datascaler.errors import ConfigError, NotFoundError
from tests.data.tars import members_of, shard_of


@pytest.fixture
def pool(tmp_path: Path) -> str:
    """Shards 0, 1, 3 (2 is missing) below shards/, and one beside them."""
    for name in ("shards/00000000.tar", "shards/00000001.tar", "shards/00000003.tar", "extra.tar", "extra.txt"):
        storage.publish_bytes(f"{tmp_path}/{name}", shard_of([members_of(len(name))]))
    return str(tmp_path)


def names(data_dir: str) -> list[str]:
    return [shard.name for shard in find_shards(data_dir)]


def test_a_folder_and_its_shards_folder(pool: str) -> None:
    expected = ["extra.tar", "shards/00000000.tar", "shards/00000001.tar", "shards/00000003.tar"]
    assert names(pool) == names(f"{pool}/") == expected
    assert names(f"{pool}/shards") == ["00000000.tar", "00000001.tar", "00000003.tar"]


def test_one_tar(pool: str) -> None:
    assert names(f"{pool}/shards/00000003.tar") == ["00000003.tar"]
    with pytest.raises(NotFoundError, match=r"00000002\.tar"):
        find_shards(f"{pool}/shards/00000002.tar")


def test_brace_ranges_skip_what_is_missing(pool: str) -> None:
    assert names(f"{pool}/shards/{{00000000..00000002}}.tar") == ["00000000.tar", "00000001.tar"]
    assert names(f"{pool}/shards/0000000{{1..9}}.tar") == ["00000001.tar", "00000003.tar"]
    with pytest.raises(ConfigError, match=r"no \.tar files"):
        find_shards(f"{pool}/shards/{{00000004..00000009}}.tar")


def test_braces_around_a_folder_keep_its_name(tmp_path: Path) -> None:
    for folder in ("part0", "part1"):
        storage.publish_bytes(f"{tmp_path}/{folder}/00000000.tar", shard_of([]))
    assert names(f"{tmp_path}/part{{0..3}}/{{00000000..00000001}}.tar") == ["part0/00000000.tar", "part1/00000000.tar"]


def test_relative_paths(pool: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(f"{pool}/shards")
    assert names("{00000000..00000001}.tar") == ["00000000.tar", "00000001.tar"]
    assert names("00000003.tar") == ["00000003.tar"]
    assert names(".") == ["00000000.tar", "00000001.tar", "00000003.tar"]


def test_several_data_dirs_are_numbered(pool: str) -> None:
    found = names(f"{pool}/extra.tar::{pool}/shards/{{00000000..00000001}}.tar")
    assert found == ["0/extra.tar", "1/00000000.tar", "1/00000001.tar"]


def test_nothing_found_names_the_folder(tmp_path: Path) -> None:
    for source in (str(tmp_path), f"{tmp_path}/nowhere"):
        with pytest.raises(ConfigError, match=f"no .tar files in {source} nor in {source}/shards"):
            find_shards(source)
    for empty in ("", "::"):
        with pytest.raises(ConfigError, match="data-dir is empty"):
            find_shards(empty)


def test_on_s3(pool: str, s3_url: str) -> None:
    for shard in find_shards(f"{pool}/shards"):
        storage.publish_bytes(f"{s3_url}/shards/{shard.name}", storage.read_bytes(shard.url))
    found = find_shards(s3_url)
    assert [shard.name for shard in found] == [f"shards/{name}" for name in names(f"{pool}/shards")]
    assert find_shards(f"{s3_url}/shards/{{00000000..00000009}}.tar")[2].url == found[2].url
    assert all(shard.etag and shard.size for shard in found)


def test_the_digest_is_of_names_sizes_and_etags(pool: str) -> None:
    before = find_shards(pool)
    assert pool_digest(before) == pool_digest(find_shards(pool))
    storage.publish_bytes(before[1].url, shard_of([members_of(1), members_of(2)]))
    assert pool_digest(before) != pool_digest(find_shards(pool))
    with pytest.raises(ConfigError, match=r"00000000\.tar has changed"):
        require_unchanged(before[1])
    require_unchanged(before[2])


def test_shards_that_are_links(tmp_path: Path) -> None:
    """As in the cache of the Hugging Face hub: snapshots/REVISION/0.tar -> ../../blobs/SHA."""
    (tmp_path / "blobs").mkdir()
    (tmp_path / "snapshots/1").mkdir(parents=True)
    for number in range(2):
        (tmp_path / f"blobs/{number}").write_bytes(shard_of([members_of(number)]))
        os.utime(tmp_path / f"blobs/{number}", (number, number))
        (tmp_path / f"snapshots/1/{number}.tar").symlink_to(f"../../blobs/{number}")
    pool = str(tmp_path / "snapshots/1")
    for shard in find_shards(pool):
        require_unchanged(shard)
    summary = index_part(pool, str(tmp_path / "out"))
    assert (summary.shards, summary.ok) == (2, 2)
    assert index_part(pool, str(tmp_path / "out")).skipped == 2


def test_a_copy_of_a_pool_is_the_same_pool(pool: str, tmp_path: Path) -> None:
    shards = find_shards(pool)
    shutil.copytree(f"{pool}/shards", tmp_path / "copy/shards", copy_function=shutil.copyfile)
    copied = find_shards(f"{tmp_path}/copy")
    assert pool_digest(copied) == pool_digest(shard for shard in shards if shard.name.startswith("shards/"))


def test_a_link_to_nothing_stops_before_the_work(pool: str) -> None:
    Path(pool, "shards/00000002.tar").symlink_to("nowhere")
    with pytest.raises(NotFoundError, match=r"00000002\.tar: not found \(it is a symbolic link to nowhere"):
        find_shards(pool)
    assert len(find_shards(pool, {f"{pool}/extra.tar"})) == 1


def test_a_shard_pinned_by_its_time_is_still_known(pool: str) -> None:
    """Score tables that were made when the etag of a local file was its time are not made anew."""
    shard = find_shards(pool)[0]
    pinned = replace(shard, etag=storage.stat(shard.url).etag)
    require_unchanged(pinned)
    assert is_version(shard, pinned.size, pinned.etag)
    assert not is_version(shard, pinned.size + 1, pinned.etag)
    os.utime(shard.url, (1, 1))
    assert not is_version(shard, pinned.size, pinned.etag)
    with pytest.raises(ConfigError, match=r"extra\.tar has changed"):
        require_unchanged(pinned)
