"""A plan is made from what is cheapest of what is known about a pool, once."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from datascaler.data.plan import make_plan as make_plan_module
from datascaler.data.plan.make_plan import cached_plan
from datascaler.data.plan.plan import Plan
from datascaler.data.plan.plan_file import map_plan
from datascaler.data.pool.shards import Shard, find_shards
from datascaler.data.pool.uids import uid_of
from datascaler.data.tables.index_tables import index_folder, index_pool
from tests.data.random_pools import sorted_pairs
from tests.data.tars import members_of, shard_of

UIDS = [uid_of(f"caption {number}", str(number)) for number in range(12)]


@pytest.fixture
def shards(tmp_path: Path) -> list[Shard]:
    """Three shards of four samples, and nothing else."""
    (tmp_path / "pool").mkdir()
    for shard in range(3):
        content = shard_of(members_of(number) for number in range(4 * shard, 4 * shard + 4))
        (tmp_path / "pool" / f"{shard}.tar").write_bytes(content)
    return find_shards(str(tmp_path / "pool"))


def add_logs(folder: Path, uids: list[str]) -> None:
    for shard in range(3):
        mine = uids[4 * shard : 4 * shard + 4]
        pq.write_table(pa.table({"status": ["success"] * len(mine), "uid": mine}), folder / "pool" / f"{shard}.parquet")


def made(
    folder: Path, shards: list[Shard], uids: list[str] | None = UIDS[::2], tables: str | None = None
) -> tuple[Plan, list[str]]:
    said: list[str] = []
    pairs = None if uids is None else sorted_pairs(uids)
    return map_plan(Path(cached_plan(str(folder), shards, pairs, tables=tables, say=said.append))), said


def refuse(*_: object) -> None:
    raise AssertionError("the pool was read")


def test_the_first_source_that_is_whole_is_taken(
    tmp_path: Path, shards: list[Shard], monkeypatch: pytest.MonkeyPatch
) -> None:
    scores, index = str(tmp_path / "scores"), index_folder(str(tmp_path / "all"), shards)
    plans = {}
    plans["pass"], said = made(tmp_path / "bare", shards)
    assert said == [f"plan      made from the index tables in {index_folder(str(tmp_path / 'bare'), shards)}"]
    index_pool(shards, scores)
    index_pool(shards, index)
    add_logs(tmp_path, UIDS)
    monkeypatch.setattr(make_plan_module, "index_pool", refuse)
    plans["logs"], said = made(tmp_path / "logs", shards)
    assert len(said) == 1
    assert said[0].startswith("plan      made from the parquet files beside the shards, which do not say where")
    plans["scores"], said = made(tmp_path / "all", shards, tables=scores)
    assert said == [f"plan      made from the score tables in {scores}"]
    (tmp_path / "scores" / "1.parquet").unlink()
    (tmp_path / "all" / "plans").rename(tmp_path / "elsewhere")
    plans["index"], said = made(tmp_path / "all", shards, tables=scores)
    assert said == [f"plan      made from the index tables in {index}"]
    assert len({plan.arrays["bits"].tobytes() for plan in plans.values()}) == 1
    assert {name: plan.samples for name, plan in plans.items()} == dict.fromkeys(plans, 6)


def test_a_log_that_lies_about_its_tar_gives_way_to_the_tar(tmp_path: Path, shards: list[Shard]) -> None:
    add_logs(tmp_path, [*UIDS[:10], "short", UIDS[11]])
    plan, said = made(tmp_path / "out", shards)
    assert plan.samples == 6
    assert len(said) == 2
    assert "2.parquet can't be used (a success without a uid of 32 hex digits); the shards themselves are" in said[0]


def test_one_missing_log_means_that_the_pool_is_read(tmp_path: Path, shards: list[Shard]) -> None:
    add_logs(tmp_path, UIDS)
    (tmp_path / "pool" / "1.parquet").unlink()
    _, said = made(tmp_path / "out", shards)
    assert said == [f"plan      made from the index tables in {index_folder(str(tmp_path / 'out'), shards)}"]


def test_a_plan_is_made_once_for_a_subset(tmp_path: Path, shards: list[Shard], monkeypatch: pytest.MonkeyPatch) -> None:
    plan, said = made(tmp_path / "out", shards)
    assert len(said) == 1
    with monkeypatch.context() as patched:
        patched.setattr(make_plan_module, "build_plan", refuse)
        again, said = made(tmp_path / "out", shards)
    assert said == []
    assert np.array_equal(again.arrays["bits"], plan.arrays["bits"])
    assert made(tmp_path / "out", shards, UIDS[:3])[0].samples == 3
    assert made(tmp_path / "out", shards, None)[0].samples == 12
    files = sorted((tmp_path / "out" / "plans").iterdir())
    assert len(files) == 3
    # A plan of an older version, or half of one, is made anew.
    for file in files:
        file.write_bytes(file.read_bytes()[:-1])
    assert made(tmp_path / "out", shards, None)[0].samples == 12
