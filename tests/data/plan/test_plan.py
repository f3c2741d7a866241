"""Plans against sets and loops over every row."""

import random
import threading
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from datascaler.data.plan import compile_plan as build_plan_module
from datascaler.data.plan.compile_plan import build_plan, compile_plan
from datascaler.data.plan.plan import Plan
from datascaler.data.plan.plan_file import map_plan, write_plan
from datascaler.data.plan.shard_rows import ShardRows, rows_of_table
from datascaler.data.pool.samples import BAD_IMAGE, OK
from datascaler.data.pool.shards import Shard
from datascaler.data.pool.uids import sort_order, uid_array
from datascaler.data.subset.subset import subset_digest
from datascaler.errors import ConfigError
from tests.data.made_tables import add_table, uids_of

ROWS = [40, 0, 1, 64, 17, 0]
"""Rows of each shard: some are empty, one holds a single sample."""


def pool_of(folder: Path, seed: int, rows: list[int] = ROWS) -> tuple[list[Shard], list[list[tuple[str, str, int]]]]:
    """Shards with their (uid, status, length) rows; some are dead, some have the uid of an earlier one."""
    generator = random.Random(seed)
    fresh = iter(uids_of(sum(rows), seed))
    seen: list[str] = []
    shards, content = [], []
    for number, count in enumerate(rows):
        shard_rows = []
        for _ in range(count):
            uid = generator.choice(seen) if seen and generator.random() < 0.15 else next(fresh)
            seen.append(uid)
            status = BAD_IMAGE if generator.random() < 0.2 else OK
            shard_rows.append((uid, status, 512 * generator.randint(1, 8)))
        uids, statuses, lengths = ([row[part] for row in shard_rows] for part in range(3))
        shards.append(add_table(str(folder), f"shards/{number:08d}", uids, None, statuses, lengths))  # type: ignore[arg-type]
        content.append(shard_rows)
    return shards, content


def sorted_uids(uids: list[str]) -> NDArray[np.void]:
    pairs = uid_array(uids)
    return pairs[sort_order(pairs)]


def kept_by_loop(content: list[list[tuple[str, str, int]]], uids: list[str] | None) -> tuple[list[list[int]], int]:
    """The kept rows of every shard, repeated as often as wanted, and the rows whose uid had been taken before."""
    wanted = Counter(uids or [])
    taken: set[str] = set()
    kept, duplicates = [], 0
    for rows in content:
        shard_kept: list[int] = []
        for row, (uid, status, _) in enumerate(rows):
            if status != OK:
                continue
            if uids is None:
                shard_kept.append(row)
            elif uid in wanted and uid not in taken:
                taken.add(uid)
                shard_kept += [row] * wanted[uid]
            elif uid in wanted:
                duplicates += 1
        kept.append(shard_kept)
    return kept, duplicates


def kept_in(plan: Plan) -> list[list[int]]:
    rows = plan.arrays["shard_rows"]
    return [plan.kept_rows(shard, 0, int(count)).tolist() for shard, count in enumerate(rows)]


def wanted_from(content: list[list[tuple[str, str, int]]], seed: int) -> list[str]:
    """Part of the pool, some of it several times, and uids that the pool does not have."""
    generator = random.Random(seed)
    present = [row[0] for rows in content for row in rows if generator.random() < 0.5]
    return present + generator.sample(present, len(present) // 4) * 2 + uids_of(30, seed + 1000)


@pytest.mark.parametrize("seed", range(8))
def test_the_plan_keeps_what_a_loop_keeps(tmp_path: Path, seed: int) -> None:
    shards, content = pool_of(tmp_path, seed)
    uids = wanted_from(content, seed)
    plan, coverage = build_plan(shards, str(tmp_path), sorted_uids(uids))
    expected, duplicates = kept_by_loop(content, uids)
    assert kept_in(plan) == expected
    assert plan.samples == sum(map(len, expected)) == coverage.present
    assert coverage.wanted == plan.wanted == len(uids)
    assert coverage.duplicate_rows == duplicates > 0
    assert coverage.fraction == coverage.present / len(uids) < 1
    assert (plan.rows, plan.subset_digest) == (sum(ROWS), subset_digest(sorted_uids(uids)))


def test_without_a_subset_every_good_row_is_kept(tmp_path: Path) -> None:
    shards, content = pool_of(tmp_path, seed=1)
    plan, coverage = build_plan(shards, str(tmp_path), None)
    expected, _ = kept_by_loop(content, None)
    assert kept_in(plan) == expected
    assert (coverage.wanted, coverage.present) == (plan.samples, plan.samples)
    assert coverage.fraction == 1
    assert plan.subset_digest == ""


def test_a_dead_row_gives_way_to_its_living_duplicate(tmp_path: Path) -> None:
    uid, other = uids_of(2)
    shards = [add_table(str(tmp_path), "a", [uid, other, uid, uid], statuses=[BAD_IMAGE, OK, OK, OK])]
    plan, coverage = build_plan(shards, str(tmp_path), sorted_uids([uid, uid]))
    assert kept_in(plan) == [[2, 2]]
    assert (coverage.present, coverage.duplicate_rows) == (2, 1)


def test_the_first_shard_wins_whichever_is_read_first(tmp_path: Path) -> None:
    uids = uids_of(6)
    shards = [add_table(str(tmp_path), name, uids[::step]) for name, step in (("a", 1), ("b", -1), ("c", 2))]
    before = [add_table(str(tmp_path), f"before{number}", uids_of(1, seed=number)) for number in range(3)]
    others_read = threading.Event()

    def last_to_come(shard: Shard) -> ShardRows:
        if shard in before:
            time.sleep(0.005)  # as a store does: the others are read by threads
        if shard is shards[0]:
            assert others_read.wait(30)
        rows = rows_of_table(str(tmp_path), shard)
        if shard is shards[2]:
            others_read.set()
        return rows

    plan, coverage = compile_plan([*before, *shards], last_to_come, sorted_uids(uids[1:]))
    assert kept_in(plan) == [[], [], [], [1, 2, 3, 4, 5], [], []]
    assert coverage.duplicate_rows == 5 + 2


def test_a_subset_of_another_pool_keeps_nothing(tmp_path: Path) -> None:
    shards, _ = pool_of(tmp_path, seed=1)
    plan, coverage = build_plan(shards, str(tmp_path), sorted_uids(uids_of(10, seed=99)))
    assert (plan.samples, coverage.present, coverage.wanted, coverage.fraction) == (0, 0, 10, 0.0)


@pytest.mark.parametrize("block_bytes", [1, 512, 4096, 20_000, 8 << 20])
@pytest.mark.parametrize("everything", [True, False])
def test_blocks_tile_their_shards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block_bytes: int, everything: bool
) -> None:
    monkeypatch.setattr(build_plan_module, "PLAN_BLOCK_BYTES", block_bytes)
    shards, content = pool_of(tmp_path, seed=2)
    uids = None if everything else wanted_from(content, seed=2)
    plan, _ = build_plan(shards, str(tmp_path), None if uids is None else sorted_uids(uids))
    blocks = [plan.block(number) for number in range(len(plan.arrays["block_kept"]))]
    assert sorted({block.shard for block in blocks}) == [0, 2, 3, 4]
    for shard, rows in enumerate(content):
        ends = np.cumsum([0, *(length for _, _, length in rows)])
        mine = [number for number, block in enumerate(blocks) if block.shard == shard]
        row = 0
        kept: list[int] = []
        for number in mine:
            block = blocks[number]
            assert (block.first_row, block.start, block.end) == (row, ends[row], ends[block.end_row])
            assert block.end - block.start <= block_bytes or block.end_row - block.first_row == 1
            if block.end_row < len(rows):  # as full as it can be
                assert ends[block.end_row + 1] - block.start > block_bytes
            inside = plan.kept_rows(shard, block.first_row, block.end_row - block.first_row).tolist()
            assert len(inside) == plan.arrays["block_kept"][number]
            kept += inside
            row = block.end_row
        assert row == len(rows)
        assert kept == kept_in(plan)[shard]
    assert int(plan.arrays["block_kept"].sum()) == plan.samples


@pytest.mark.parametrize(
    ("kept", "times", "stored"), [(1, 2, 1), (9, 1, 9), (9, 2, 9), (10, 1, 0), (40, 1, 0), (10, 2, 10), (40, 3, 40)]
)
def test_only_a_shard_of_which_less_than_a_quarter_or_a_row_twice_is_kept_has_ranges(
    tmp_path: Path, kept: int, times: int, stored: int
) -> None:
    uids = uids_of(80)
    shards = [add_table(str(tmp_path), name, uids[first : first + 40]) for name, first in (("a", 0), ("b", 40))]
    plan, _ = build_plan(shards, str(tmp_path), sorted_uids(uids[40 : 40 + kept] * times))
    assert plan.samples == times * kept
    assert plan.arrays["shard_ranges"].tolist() == [0, 0, stored]
    assert plan.ranges(0) is None
    expected = [[1536 * row, 1536 * (row + 1)] for row in range(stored)]
    found = plan.ranges(1)
    assert (found.tolist() if found is not None else []) == expected


def test_offsets_that_no_tar_has_are_refused(tmp_path: Path) -> None:
    shard = add_table(str(tmp_path), "a", uids_of(3), lengths=[512, 100, 512])
    with pytest.raises(ConfigError, match=r"a\.parquet holds offsets that no tar can have: remove it"):
        build_plan([shard], str(tmp_path), None)


def test_a_tar_beyond_the_reach_of_a_plan_is_refused(tmp_path: Path) -> None:
    shard = replace(add_table(str(tmp_path), "a", uids_of(3)), size=1 << 42)
    halves = np.zeros(3, np.uint64)
    rows = ShardRows(halves, halves, np.ones(3, bool))
    with pytest.raises(ConfigError, match=r"nowhere/a\.tar has 4,398,046,511,104 bytes: a plan reaches"):
        compile_plan([shard], lambda _: rows, None)


def test_an_empty_pool_has_a_plan_too(tmp_path: Path) -> None:
    shards, _ = pool_of(tmp_path, seed=0, rows=[0, 0])
    plan, coverage = build_plan(shards, str(tmp_path), None)
    write_plan(f"{tmp_path}/x.plan", plan)
    opened = map_plan(tmp_path / "x.plan")
    assert (opened.samples, opened.rows, opened.kept_bytes, coverage.fraction) == (0, 0, 0.0, 0.0)


def test_a_plan_is_small(tmp_path: Path) -> None:
    """A quarter of a byte a pool sample, at DataComp's 10,000 samples of 35 kB a shard."""
    generator = random.Random(0)
    uids = uids_of(20_000)
    lengths = [512 * generator.randint(10, 128) for _ in uids]
    shards = [
        add_table(str(tmp_path), name, uids[part], None, None, lengths[part])
        for name, part in (("a", slice(0, 10_000)), ("b", slice(10_000, 20_000)))
    ]
    plan, _ = build_plan(shards, str(tmp_path), sorted_uids(uids[::3]))
    # A hundred bytes a shard for its name and etag, and a header of 1.6 kB once.
    assert sum(array.nbytes for array in plan.arrays.values()) / len(uids) < 0.24
    write_plan(f"{tmp_path}/x.plan", plan)
    assert (tmp_path / "x.plan").stat().st_size / len(uids) < 0.3


def test_a_table_of_another_version_of_the_shard_is_refused(tmp_path: Path) -> None:
    shards, _ = pool_of(tmp_path, seed=1)
    changed = Shard(url=shards[3].url, name=shards[3].name, size=shards[3].size, etag="another")
    with pytest.raises(ConfigError, match=r"the table of shards/00000003\.tar .* was made from another version"):
        build_plan([*shards[:3], changed], str(tmp_path), None)
