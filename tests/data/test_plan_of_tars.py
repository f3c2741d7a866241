"""Plans of real tars: the rows are those of a loop, and the bytes of blocks and ranges hold just these samples."""

import io
import random
import tarfile
from itertools import groupby
from pathlib import Path

import pytest

from datascaler.data.plan import compile_plan as build_plan_module
from datascaler.data.plan.compile_plan import build_plan
from datascaler.data.plan.plan import Plan
from datascaler.data.plan.plan_file import map_plan, write_plan
from datascaler.data.pool.shards import find_shards
from datascaler.data.tables.index_tables import index_pool
from datascaler.data.tables.score_table import read_table, table_url
from tests.data.random_pools import RandomPool, random_pool, sorted_pairs


def planned(pool: RandomPool, folder: Path, uids: list[str] | None) -> Plan:
    """Through the file, as training sees it."""
    index_pool(pool.shards, f"{folder}/index", 2)
    plan, _ = build_plan(pool.shards, f"{folder}/index", None if uids is None else sorted_pairs(uids))
    write_plan(f"{folder}/x.plan", plan)
    return map_plan(folder / "x.plan")


def keys_in(content: bytes) -> list[str]:
    """The keys of the samples in bytes of a tar that begin with a header."""
    # Tars end with two blocks of zeros, pieces of them do not.
    with tarfile.open(fileobj=io.BytesIO(content + bytes(1024))) as tar:
        names = [member.name for member in tar if member.isfile()]
    return [key for key, _ in groupby(names, key=key_of)]


def key_of(name: str) -> str:
    folder, _, base = name.rpartition("/")
    return f"{folder}/{base.partition('.')[0]}"


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("fraction", [0.05, 0.2, 0.6, None])
def test_rows_blocks_and_ranges_agree_with_a_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, fraction: float | None
) -> None:
    generator = random.Random(seed)
    monkeypatch.setattr(build_plan_module, "PLAN_BLOCK_BYTES", generator.choice([4_000, 20_000, 1 << 20]))
    pool = random_pool(tmp_path / "pool", seed)
    uids = None if fraction is None else pool.subset(generator, fraction)
    plan = planned(pool, tmp_path, uids)
    expected = pool.kept(uids)
    assert plan.arrays["shard_rows"].tolist() == [len(rows) for rows in pool.rows]
    assert plan.samples == sum(map(len, expected))
    blocks = [plan.block(number) for number in range(len(plan.arrays["block_kept"]))]
    kept_bytes = 0.0
    for shard, rows in enumerate(expected):
        content = Path(pool.shards[shard].url).read_bytes()
        assert plan.kept_rows(shard, 0, len(pool.rows[shard])).tolist() == rows
        keys = keys_in(content)
        assert len(keys) == len(pool.rows[shard])
        alone = len(set(rows)) < 0.25 * len(keys) or len(set(rows)) < len(rows)
        for number, block in enumerate(blocks):
            if block.shard != shard:
                continue
            inside = sorted({row for row in rows if block.first_row <= row < block.end_row})
            assert keys_in(content[block.start : block.end]) == keys[block.first_row : block.end_row]
            kept_bytes += (block.end - block.start) * len(inside) / (block.end_row - block.first_row)
            ranges = plan.ranges(number)
            if not alone or not rows:
                assert ranges is None
            else:
                assert ranges is not None
                assert [keys_in(content[start:end]) for start, end in ranges] == [[keys[row]] for row in inside]
    assert plan.kept_bytes == pytest.approx(kept_bytes)


def test_a_sample_too_long_for_its_range_reaches_to_the_end_of_its_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datascaler.data.plan.arrays._LONGEST_UNITS", 8)
    monkeypatch.setattr(build_plan_module, "PLAN_BLOCK_BYTES", 4096)
    pool = random_pool(tmp_path / "pool", seed=3)
    uids = [next(uid for uid in rows if uid) for rows in pool.rows if any(rows)]
    plan = planned(pool, tmp_path, uids)
    assert 0 in plan.arrays["range_length"]
    for number in range(len(plan.arrays["block_kept"])):
        block, ranges = plan.block(number), plan.ranges(number)
        table = read_table(table_url(f"{tmp_path}/index", pool.shards[block.shard]), ["offset", "length"])[0]
        rows = plan.kept_rows(block.shard, block.first_row, block.end_row - block.first_row)
        for row, (start, end) in zip(rows, ranges if ranges is not None else [], strict=True):
            assert start == table["offset"][row].as_py()
            assert end in (start + table["length"][row].as_py(), block.end)


def test_a_truncated_tar_keeps_what_lies_before_the_cut(tmp_path: Path) -> None:
    pool = random_pool(tmp_path / "pool", seed=1)
    shard = max(range(len(pool.shards)), key=lambda number: len(pool.rows[number]))
    path = Path(pool.shards[shard].url)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    # The same files, as a new listing sees them.
    plan = planned(RandomPool(find_shards(str(path.parent))), tmp_path, None)
    rows = plan.kept_rows(shard, 0, int(plan.arrays["shard_rows"][shard]))
    usable = [row for row, uid in enumerate(pool.rows[shard]) if uid]
    assert 0 < len(rows) < len(usable)
    assert rows.tolist() == usable[: len(rows)]
