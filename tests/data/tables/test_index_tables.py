"""Indexing a pool: what is counted, what a rerun skips, and what damage and loss do."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from datascaler import storage
from datascaler.data.pool.samples import BAD_JSON, DAMAGED_TAR
from datascaler.data.pool.shards import find_shards
from datascaler.data.tables.index_tables import index_folder, index_part, index_pool, read_shard
from datascaler.data.tables.score_table import read_table, table_url
from datascaler.errors import BadInputError, ConfigError
from tests.data.tars import members_of, shard_of


def make_pool(folder: str, shards: int = 5) -> str:
    """Shard n has n + 1 samples, and the first one of shard 2 has a broken json."""
    for number in range(shards):
        samples = [members_of(10 * number + row) for row in range(number + 1)]
        if number == 2:
            samples[0]["json"] = b"{"
        storage.publish_bytes(f"{folder}/{number}.tar", shard_of(samples))
    return folder


@pytest.mark.parametrize("where", ["local", "s3"])
def test_parts_together_index_the_pool_once(request: pytest.FixtureRequest, where: str) -> None:
    folder = str(request.getfixturevalue("s3_url" if where == "s3" else "tmp_path"))
    pool, output = make_pool(f"{folder}/pool"), f"{folder}/out"
    first = index_part(pool, output, index=0, count=2)
    assert (first.shards, first.skipped, first.rows, first.ok) == (3, 0, 9, 8)
    assert first.bad == {BAD_JSON: 1}
    assert first.damaged == []
    second = index_part(pool, output, index=1, count=2, num_workers=1)
    assert (second.shards, second.skipped, second.rows, second.ok, second.bad) == (2, 0, 6, 6, {})
    every = index_part(pool, output)
    assert (every.shards, every.skipped, every.rows, every.ok, every.bad) == (5, 5, 15, 14, {BAD_JSON: 1})
    shards = find_shards(pool)
    assert every.tables == first.tables == index_folder(output, shards)
    for number, shard in enumerate(shards):
        table, footer = read_table(table_url(every.tables, shard), ["offset", "length", "status"])
        assert (table.num_rows, footer.score_id) == (number + 1, "")
        ends = [start.as_py() + length.as_py() for start, length in zip(table["offset"], table["length"], strict=True)]
        assert table["offset"].to_pylist() == [0, *ends[:-1]]


def test_a_damaged_shard_is_indexed_up_to_the_damage_and_named(tmp_path: Path) -> None:
    pool = make_pool(str(tmp_path / "pool"))
    path = tmp_path / "pool" / "4.tar"
    path.write_bytes(path.read_bytes()[:9000])
    for skipped in (0, 5):
        summary = index_part(pool, str(tmp_path / "out"))
        assert summary.damaged == ["4.tar"]
        assert summary.bad == {BAD_JSON: 1, DAMAGED_TAR: 1}
        assert summary.skipped == skipped
    assert 10 < summary.ok < 14


def test_shards_that_are_gone_are_an_error_after_the_others(tmp_path: Path) -> None:
    pool = make_pool(str(tmp_path / "pool"))
    shards = find_shards(pool)
    (tmp_path / "pool" / "0.tar").unlink()
    (tmp_path / "pool" / "3.tar").unlink()
    with pytest.raises(BadInputError, match=r"2 of 5 shards are gone, the others are indexed: .*/0\.tar.*/3\.tar"):
        index_pool(shards, str(tmp_path / "index"), num_workers=2)
    assert sorted(path.stem for path in (tmp_path / "index").iterdir()) == ["1", "2", "4"]


def test_a_shard_that_is_replaced_while_it_is_read_is_refused_even_with_its_size_and_time_kept(tmp_path: Path) -> None:
    path = Path(make_pool(str(tmp_path / "pool")), "4.tar")
    (shard,) = [shard for shard in find_shards(str(path.parent)) if shard.name == "4.tar"]
    before, samples = path.stat(), read_shard(shard)
    next(samples)
    path.write_bytes(path.read_bytes()[::-1])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(ConfigError, match=r"4\.tar has changed"):
        list(samples)


def test_a_pool_that_changed_is_refused(tmp_path: Path) -> None:
    pool, output = make_pool(str(tmp_path / "pool")), str(tmp_path / "out")
    index_part(pool, output, count=2)
    storage.publish_bytes(f"{pool}/1.tar", shard_of([members_of(1)] * 3))
    with pytest.raises(ConfigError, match=r"1\.tar has changed"):
        index_part(pool, output)
    changed = replace(find_shards(pool)[0], etag="sample-" + "0" * 32)
    with pytest.raises(ConfigError, match=r"0\.parquet holds other work: etag is"):
        index_pool([changed], index_part(pool, output, index=0, count=5).tables)


@pytest.mark.parametrize(("index", "count", "num_workers"), [(-1, 1, 1), (2, 2, 1), (0, 0, 1), (0, 1, 0)])
def test_numbers_that_make_no_sense(tmp_path: Path, index: int, count: int, num_workers: int) -> None:
    pool = make_pool(str(tmp_path / "pool"), shards=1)
    with pytest.raises(ConfigError, match=r"index must be in 0\.\.|num-workers must be at least 1, got 0"):
        index_part(pool, str(tmp_path / "out"), index=index, count=count, num_workers=num_workers)
