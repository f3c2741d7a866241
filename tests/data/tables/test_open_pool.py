"""A pool as programs open it: by a listing, and nothing in it is read before somebody asks."""

import os
import shutil
from pathlib import Path

import pytest

from datascaler import open_pool
from datascaler.errors import ConfigError
from datascaler.score.score_pool import score_pool
from tests.score.pools import make_pool, spec_of
from tests.tiny_clip import save_local_dir


@pytest.fixture
def scored(tmp_path: Path) -> tuple[str, str]:
    """A pool and the folder of its scores."""
    pool, out = make_pool(f"{tmp_path}/pool"), f"{tmp_path}/out"
    score_pool(spec_of(pool, Path(out), save_local_dir(f"{tmp_path}/model")))
    return pool, out


def test_opening_reads_no_shard(scored: tuple[str, str]) -> None:
    pool, out = scored
    there = [shard.name for shard in open_pool(pool).shards]
    # A shard that nobody can open: reading one byte of it would fail.
    broken = Path(pool, there[0])
    broken.unlink()
    broken.symlink_to(broken.with_name("nowhere"))
    opened = open_pool(pool)
    assert [shard.name for shard in opened.shards] == there
    assert opened.read_scores(out, shards=there[1:]).num_rows > 0
    with pytest.raises(ConfigError, match=there[0]):
        opened.read_scores(out)


def test_scores_are_those_of_a_copy_too(scored: tuple[str, str], tmp_path: Path) -> None:
    pool, out = scored
    copy = shutil.copytree(pool, tmp_path / "copy")
    for path in copy.rglob("*.tar"):
        os.utime(path, (1, 1))
    tables = [open_pool(each).read_scores(out) for each in (str(copy), pool)]
    assert str(tables[0].to_pylist()) == str(tables[1].to_pylist())


def test_scores_of_a_shard_that_was_written_anew_are_refused(scored: tuple[str, str]) -> None:
    pool, out = scored
    opened = open_pool(pool)
    shard = Path(opened.shards[1].url)
    times = shard.stat()
    content = bytearray(shard.read_bytes())
    content[700] ^= 1
    shard.write_bytes(content)
    os.utime(shard, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(ConfigError, match=r"another version of .*: score it again"):
        open_pool(pool).read_scores(out)
    assert open_pool(pool).read_scores(out, shards=[opened.shards[0].name]).num_rows > 0
