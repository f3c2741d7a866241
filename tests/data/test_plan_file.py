"""Plan files: what comes back, who else can read them, and files that are not what they should be."""

import time
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from datascaler.data.plan import compile_plan as build_plan_module
from datascaler.data.plan.arrays import PlanArrays
from datascaler.data.plan.compile_plan import build_plan
from datascaler.data.plan.plan import match_shards
from datascaler.data.plan.plan_file import map_plan, write_plan
from datascaler.data.plan.shard_rows import ShardRows
from datascaler.data.pool.shards import Shard, pool_digest
from datascaler.errors import ConfigError
from tests.data.made_tables import shard_named
from tests.data.plan.test_plan import kept_in, pool_of, sorted_uids, wanted_from


def _is_mapped(array: object) -> bool:
    """Whether the array's memory is a file's."""
    while isinstance(array, np.ndarray) and not isinstance(array, np.memmap):
        array = array.base
    return isinstance(array, np.memmap)


def test_a_plan_comes_back_from_its_file_as_a_map(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_plan_module, "PLAN_BLOCK_BYTES", 10_000)
    shards, content = pool_of(tmp_path, seed=3)
    plan, _ = build_plan(shards, str(tmp_path), sorted_uids(wanted_from(content, seed=3)))
    write_plan(f"{tmp_path}/x.plan", plan)
    opened = map_plan(tmp_path / "x.plan")
    for name, array in plan.arrays.items():
        assert opened.arrays[name].dtype == array.dtype
        assert np.array_equal(opened.arrays[name], array)
        assert _is_mapped(opened.arrays[name])
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


def test_other_programs_read_it_as_safetensors(tmp_path: Path) -> None:
    shards, content = pool_of(tmp_path, seed=3)
    plan, _ = build_plan(shards, str(tmp_path), sorted_uids(wanted_from(content, seed=3)))
    write_plan(f"{tmp_path}/x.plan", plan)
    with safe_open(tmp_path / "x.plan", "numpy") as file:
        assert file.metadata()["subset_digest"] == plan.subset_digest
        assert set(file.keys()) == set(plan.arrays)
        for name, array in plan.arrays.items():
            assert np.array_equal(file.get_tensor(name), array)


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
    header = b'{"__metadata__":{"plan_version":"3","pool_digest":"","subset_digest":"","wanted":"0"},"bits":5}'
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
            map_plan(path)
    with pytest.raises(ConfigError, match="is not a plan of this version"):
        map_plan(tmp_path / "missing.plan")


def test_a_plan_that_was_cut_or_is_of_another_version(tmp_path: Path) -> None:
    shards, content = pool_of(tmp_path, seed=4)
    plan, _ = build_plan(shards, str(tmp_path), sorted_uids(wanted_from(content, seed=4)))
    path = tmp_path / "x.plan"
    write_plan(str(path), plan)
    whole = path.read_bytes()
    for cut in [*range(0, len(whole), 37), len(whole) - 1, len(whole) - 8]:
        path.write_bytes(whole[:cut])
        with pytest.raises(ConfigError, match=r"x\.plan is not a plan of this version .* build it anew"):
            map_plan(path)
    path.write_bytes(whole + b"12345678")
    with pytest.raises(ConfigError, match="longer than its header says"):
        map_plan(path)
    path.write_bytes(whole.replace(b'"plan_version":"3"', b'"plan_version":"9"'))
    with pytest.raises(ConfigError, match="version 9, this code reads 3"):
        map_plan(path)


@pytest.mark.parametrize("name", ["shard_end", "shard_bits", "bits", "block_kept", "repeat_row"])
def test_a_plan_whose_arrays_disagree(tmp_path: Path, name: str) -> None:
    shards, content = pool_of(tmp_path, seed=4)
    plan, _ = build_plan(shards, str(tmp_path), sorted_uids(wanted_from(content, seed=4)))
    plan.arrays[name] = plan.arrays[name][:-1]
    write_plan(f"{tmp_path}/x.plan", plan)
    with pytest.raises(ConfigError, match=f"{name} has .* entries|entries, not"):
        map_plan(tmp_path / "x.plan")


def test_a_plan_of_ten_million_rows_opens_at_once(tmp_path: Path) -> None:
    """With its checksum compared; of CPU time, the least of five, as other processes are none of its business."""
    rows, shards = 100_000, 100
    starts = np.arange(rows, dtype=np.int64) * 30 * 512
    uids = np.arange(rows, dtype=np.uint64)
    shard_rows = ShardRows(uids, uids, np.ones(rows, dtype=bool), starts, starts + 29 * 512)
    counts = (np.random.default_rng(0).random(rows) < 0.3).astype(np.int64)
    collected = PlanArrays()
    for number in range(shards):
        shard = Shard("", f"{number:08d}.tar", int(starts[-1]) + 40 * 512, f"{number:x}")
        collected.add_shard(shard, shard_rows, np.arange(0, rows, 270), counts)
    plan = collected.plan("digest", shards * int(counts.sum()))
    assert plan.rows == 10_000_000
    write_plan(f"{tmp_path}/x.plan", plan)
    seconds = []
    for _ in range(5):
        began = time.process_time()
        opened = map_plan(tmp_path / "x.plan")
        seconds.append(time.process_time() - began)
        assert opened.samples == plan.samples
    assert min(seconds) < 0.05
