"""Plans against sets and loops over every row, and plan files that are not what they should be."""

import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from datascaler.data import build_plan as build_plan_module
from datascaler.data.build_plan import build_plan
from datascaler.data.plan import Plan, match_shards, open_plan, write_plan
from datascaler.data.pool import Shard, pool_digest
from datascaler.data.samples import BAD_IMAGE, OK
from datascaler.data.subset import subset_digest
from datascaler.data.uids import sort_order, uid_array
from datascaler.errors import ConfigError
from tests.data.tables import add_table, shard_named, uids_of

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


def test_a_subset_of_another_pool_keeps_nothing(tmp_path: Path) -> None:
    shards, _ = pool_of(tmp_path, seed=1)
    plan, coverage = build_plan(shards, str(tmp_path), sorted_uids(uids_of(10, seed=99)))
    assert (plan.samples, coverage.present, coverage.wanted, coverage.fraction) == (0, 0, 10, 0.0)


@pytest.mark.parametrize("block_bytes", [1, 512, 4096, 20_000, 8 << 20])
@pytest.mark.parametrize("everything", [True, False])
def test_blocks_tile_their_shards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block_bytes: int, everything: bool
) -> None:
    monkeypatch.setattr(build_plan_module, "BLOCK_BYTES", block_bytes)
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


def test_a_plan_comes_back_from_its_file_as_a_map(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_plan_module, "BLOCK_BYTES", 10_000)
    shards, content = pool_of(tmp_path, seed=3)
    plan, _ = build_plan(shards, str(tmp_path), sorted_uids(wanted_from(content, seed=3)))
    write_plan(f"{tmp_path}/x.plan", plan)
    opened = open_plan(tmp_path / "x.plan")
    for name, array in plan.arrays.items():
        assert opened.arrays[name].dtype == array.dtype
        assert np.array_equal(opened.arrays[name], array)
        assert isinstance(opened.arrays[name], np.memmap)
        assert not opened.arrays[name].flags.writeable
    assert (opened.pool_digest, opened.subset_digest, opened.wanted) == (
        plan.pool_digest,
        plan.subset_digest,
        plan.wanted,
    )
    assert opened.pool_digest == pool_digest(shards)
    assert kept_in(opened) == kept_in(plan)
    assert [opened.block(number) for number in range(3)] == [plan.block(number) for number in range(3)]
    assert match_shards(opened, shards) == shards


def test_an_empty_pool_has_a_plan_too(tmp_path: Path) -> None:
    shards, _ = pool_of(tmp_path, seed=0, rows=[0, 0])
    plan, coverage = build_plan(shards, str(tmp_path), None)
    write_plan(f"{tmp_path}/x.plan", plan)
    opened = open_plan(tmp_path / "x.plan")
    assert (opened.samples, opened.rows, coverage.fraction) == (0, 0, 0.0)


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
    # A hundred bytes a shard for its name and etag, and a header of 1.5 kB once.
    assert sum(array.nbytes for array in plan.arrays.values()) / len(uids) < 0.24
    write_plan(f"{tmp_path}/x.plan", plan)
    assert (tmp_path / "x.plan").stat().st_size / len(uids) < 0.3


def test_a_table_of_another_version_of_the_shard_is_refused(tmp_path: Path) -> None:
    shards, _ = pool_of(tmp_path, seed=1)
    changed = Shard(url=shards[3].url, name=shards[3].name, size=shards[3].size, etag="another")
    with pytest.raises(ConfigError, match=r"the table of shards/00000003\.tar .* was made from another version"):
        build_plan([*shards[:3], changed], str(tmp_path), None)


def test_match_shards_names_the_shard_that_does_not_fit(tmp_path: Path) -> None:
    shards, _ = pool_of(tmp_path, seed=1)
    plan, _ = build_plan(shards, str(tmp_path), None)
    moved = [
        Shard(url=f"s3://elsewhere/{each.name}", name=each.name, size=each.size, etag=each.etag) for each in shards
    ]
    assert match_shards(plan, [*moved[::-1], shard_named("one-more")]) == moved
    with pytest.raises(ConfigError, match=r"needs shard shards/00000002\.tar, which this pool does not have"):
        match_shards(plan, shards[:2] + shards[3:])
    for size, etag in ((1, shards[4].etag), (shards[4].size, "another")):
        changed = Shard(url=shards[4].url, name=shards[4].name, size=size, etag=etag)
        with pytest.raises(
            ConfigError, match=r"shard nowhere/shards/00000004\.tar is not the one .* make the plan anew"
        ):
            match_shards(plan, [*shards[:4], changed, *shards[5:]])


def test_files_that_are_no_plans(tmp_path: Path) -> None:
    path = tmp_path / "x.plan"
    header = b'{"__metadata__":{"plan_version":"2","pool_digest":"","subset_digest":"","wanted":"0"},"bits":5}'
    contents = [
        b"",
        b"short",
        b"\xff" * 100,
        b"PK\x03\x04" + bytes(200),
        (2).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"[]",
        (4).to_bytes(8, "little") + b"null" + b"more",
        len(header).to_bytes(8, "little") + header + b"more",
    ]
    for content in contents:
        path.write_bytes(content)
        with pytest.raises(ConfigError, match="is not a plan of this version"):
            open_plan(path)
    with pytest.raises(ConfigError, match="is not a plan of this version"):
        open_plan(tmp_path / "missing.plan")


def test_a_plan_that_was_cut_or_is_of_another_version(tmp_path: Path) -> None:
    shards, content = pool_of(tmp_path, seed=4)
    plan, _ = build_plan(shards, str(tmp_path), sorted_uids(wanted_from(content, seed=4)))
    path = tmp_path / "x.plan"
    write_plan(str(path), plan)
    whole = path.read_bytes()
    for cut in [*range(0, len(whole), 37), len(whole) - 1, len(whole) - 8]:
        path.write_bytes(whole[:cut])
        with pytest.raises(ConfigError, match=r"x\.plan is not a plan of this version .* build it anew"):
            open_plan(path)
    path.write_bytes(whole + b"12345678")
    with pytest.raises(ConfigError, match="longer than its header says"):
        open_plan(path)
    path.write_bytes(whole.replace(b'"plan_version":"2"', b'"plan_version":"9"'))
    with pytest.raises(ConfigError, match="version 9, this code reads 2"):
        open_plan(path)


@pytest.mark.parametrize("name", ["shard_end", "shard_bits", "bits", "block_kept", "repeat_row"])
def test_a_plan_whose_arrays_disagree(tmp_path: Path, name: str) -> None:
    shards, content = pool_of(tmp_path, seed=4)
    plan, _ = build_plan(shards, str(tmp_path), sorted_uids(wanted_from(content, seed=4)))
    plan.arrays[name] = plan.arrays[name][:-1]
    write_plan(f"{tmp_path}/x.plan", plan)
    with pytest.raises(ConfigError, match=f"{name} has .* entries|entries, not"):
        open_plan(tmp_path / "x.plan")
