"""The log beside a shard: it says the same as the tar, or it is refused by name."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from datascaler import storage
from datascaler.data.make.write_pool import write_pool
from datascaler.data.plan.compile_plan import build_plan, compile_plan
from datascaler.data.plan.shard_rows import has_all_logs, has_all_tables, rows_of_log
from datascaler.data.pool.pool_rows import PoolSample
from datascaler.data.pool.shards import Shard, find_shards
from datascaler.data.pool.uids import uid_array
from datascaler.data.tables.index_tables import index_pool
from datascaler.errors import UnusableLogError
from tests.data.made_tables import add_table, uids_of
from tests.data.random_pools import sorted_pairs
from tests.data.tars import picture

SAMPLES = 23


def make_pool(folder: str, uids: list[str] | None = None) -> list[Shard]:
    """Five samples a shard; every fourth image is broken and becomes a failed row of the log."""
    samples = [
        PoolSample(
            image=b"not a picture" if number % 4 == 3 else picture(number),
            suffix="png",
            caption=f"caption {number}",
            url=str(number),
            uid=uid,
        )
        for number, uid in enumerate(uids or uids_of(SAMPLES))
    ]
    write_pool(folder, samples, samples_per_shard=5)
    return find_shards(folder)


@pytest.mark.parametrize("where", ["local", "s3"])
def test_a_plan_from_the_logs_keeps_what_one_from_the_tars_keeps(request: pytest.FixtureRequest, where: str) -> None:
    folder = str(request.getfixturevalue("s3_url" if where == "s3" else "tmp_path"))
    uids = uids_of(SAMPLES)
    uids[7] = uids[3] = uids[2]  # a duplicate, and a dead one before it
    uids[12] = uids[20]
    shards = make_pool(f"{folder}/pool", uids)
    assert has_all_logs(shards)
    index_pool(shards, f"{folder}/index")
    for wanted in (None, sorted_pairs([*uids[::2], uids[2], *uids_of(4, seed=9)])):
        of_tars, seen = build_plan(shards, f"{folder}/index", wanted)
        of_logs, logged = compile_plan(shards, rows_of_log, wanted)
        assert seen == logged
        for number, rows in enumerate(of_tars.arrays["shard_rows"]):
            assert of_logs.kept_rows(number, 0, int(rows)).tolist() == of_tars.kept_rows(number, 0, int(rows)).tolist()
        names = ("shard_rows", "bits", "repeat_shard", "repeat_row", "repeat_count")
        assert all(np.array_equal(of_logs.arrays[name], of_tars.arrays[name]) for name in names)
        # Whoever reads the logs has not seen the content.
        assert of_logs.shards == [replace(shard, digest="") for shard in of_tars.shards]
        # Nobody knows where the samples lie, so a shard is one block.
        blocks = [of_logs.block(number) for number in range(len(shards))]
        assert [(block.start, block.end, block.first_row) for block in blocks] == [
            (0, shard.size, 0) for shard in shards
        ]
        assert [block.end_row for block in blocks] == of_tars.arrays["shard_rows"].tolist()
        assert not len(of_logs.arrays["range_start"])


def logged(folder: Path, table: pa.Table, size: int = 1 << 30) -> Shard:
    pq.write_table(table, folder / "a.parquet", row_group_size=4)
    return Shard(url=f"{folder}/a.tar", name="a.tar", size=size, etag="e")


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_uids_of_any_string_column_in_any_case(tmp_path: Path, kind: pa.DataType) -> None:
    uids = uids_of(20)
    status = ["failed_to_download" if row % 3 == 0 else "success" for row in range(20)]
    written: list[str | None] = [None if row % 3 == 0 else uid.upper() for row, uid in enumerate(uids)]
    shard = logged(tmp_path, pa.table({"status": status, "uid": pa.array(written).cast(kind), "other": range(20)}))
    rows = rows_of_log(shard)
    expected = uid_array([uid for row, uid in enumerate(uids) if row % 3])
    assert (rows.high.tolist(), rows.low.tolist()) == (expected["f0"].tolist(), expected["f1"].tolist())
    assert rows.usable.all()
    assert rows.starts is None


def test_a_log_without_a_success(tmp_path: Path) -> None:
    status = pa.array(["failed_to_download"] * 3)
    for uids in (pa.array([None] * 3, pa.string()), pa.nulls(3)):
        shard = logged(tmp_path, pa.table({"status": status, "uid": uids}))
        assert len(rows_of_log(shard).high) == 0
        plan, coverage = compile_plan([shard], rows_of_log, None)
        assert (plan.samples, plan.rows, len(plan.arrays["block_row"]), coverage.present) == (0, 0, 0, 0)


def table_of(uids: list[Any], status: str = "success") -> pa.Table:
    return pa.table({"status": [status] * len(uids), "uid": uids})


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (table_of([*uids_of(2), None]), "a success without a uid of 32 hex digits"),
        (table_of([*uids_of(2), "abc"]), "a success without a uid of 32 hex digits"),
        (table_of([*uids_of(2), "x" * 32]), "a success without a uid of 32 hex digits"),
        (table_of([*uids_of(2), "\u00e9" * 16]), "a success without a uid of 32 hex digits"),
        (table_of([1, 2]), "a success without a uid of 32 hex digits"),
        (pa.table({"status": ["success"]}), "has no column 'uid'"),
        (pa.table({"uid": uids_of(1)}), "has no column 'status'"),
        (pa.table({"status": [1], "uid": uids_of(1)}), "can't be used"),
        (table_of(uids_of(600)), r"lists 600 samples, more than its tar of 1,048,576 bytes can hold"),
    ],
)
def test_a_log_that_can_not_stand_for_its_tar_is_refused_by_name(tmp_path: Path, table: pa.Table, message: str) -> None:
    shard = logged(tmp_path, table, size=1 << 20)
    with pytest.raises(UnusableLogError, match=rf"a\.parquet .*{message}"):
        rows_of_log(shard)


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(b"PAR1")])
def test_a_log_that_is_gone_or_damaged(tmp_path: Path, damage: Callable[[Path], object]) -> None:
    shard = logged(tmp_path, table_of(uids_of(2)))
    damage(tmp_path / "a.parquet")
    with pytest.raises(UnusableLogError, match=r"a\.parquet"):
        rows_of_log(shard)


def test_whether_all_are_there_is_told_by_listings(tmp_path: Path) -> None:
    shards = make_pool(str(tmp_path / "pool"))
    tables = [add_table(str(tmp_path / "tables"), name, uids_of(2)) for name in ("shards/a", "b")]
    assert has_all_logs(shards)
    assert has_all_tables(str(tmp_path / "tables"), tables)
    storage.remove(f"{tmp_path}/pool/shards/00000002.parquet")
    storage.remove(f"{tmp_path}/tables/shards/a.parquet")
    assert not has_all_logs(shards)
    assert not has_all_tables(str(tmp_path / "tables"), tables)
    assert not has_all_tables(str(tmp_path / "elsewhere"), tables)
