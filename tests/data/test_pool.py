"""What counts as a shard of a pool, and what it is called."""

from pathlib import Path

import pytest

from datascaler import storage
from datascaler.data.pool import find_shards, pool_digest, require_unchanged
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
        require_unchanged(before[1], storage.stat(before[1].url))
    require_unchanged(before[2], storage.stat(before[2].url))
