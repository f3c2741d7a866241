"""Several requests at a time give the shard that one gives."""

import pytest

from datascaler import storage
from datascaler.data.pool.shards import find_shards
from datascaler.data.read.stream_shard import stream_shard
from datascaler.data.tables.index_tables import read_shard
from datascaler.errors import ConfigError, NotFoundError
from tests.data.tars import members_of, shard_of


def write_shard(folder: str, count: int) -> None:
    # One member is longer than several blocks.
    samples = [members_of(number) for number in range(count)]
    samples[count // 2]["txt"] = b"long " * 5000
    storage.publish_bytes(f"{folder}/0.tar", shard_of(samples))


@pytest.mark.parametrize("where", ["local", "s3"])
@pytest.mark.parametrize("block_bytes", [700, 5000, 1 << 20])
def test_all_samples_come_in_order(request: pytest.FixtureRequest, where: str, block_bytes: int) -> None:
    folder = str(request.getfixturevalue("s3_url" if where == "s3" else "tmp_path"))
    write_shard(folder, 20)
    (shard,) = find_shards(folder)
    samples = list(stream_shard(shard, block_bytes))
    assert samples == list(read_shard(shard))
    assert len(samples) == 20


def test_a_shard_that_changes_or_goes_meanwhile_is_an_error(s3_url: str) -> None:
    write_shard(s3_url, 20)
    (shard,) = find_shards(s3_url)
    samples = stream_shard(shard, 5000)
    next(samples)
    write_shard(s3_url, 19)
    with pytest.raises(ConfigError, match=r"0\.tar has changed"):
        list(samples)
    with pytest.raises(ConfigError, match=r"0\.tar has changed"):
        next(stream_shard(shard))
    storage.remove(f"{s3_url}/0.tar")
    with pytest.raises(NotFoundError):
        next(stream_shard(shard))
