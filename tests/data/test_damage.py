"""Shards that are damaged at random: what scoring calls ok is what training sees, by every plan and without one."""

import math
import random
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest

from datascaler import PlanDataset, storage
from datascaler.data.plan import compile_plan as build_plan_module
from datascaler.data.plan.compile_plan import compile_plan
from datascaler.data.plan.plan import Plan, match_shards
from datascaler.data.plan.plan_file import map_plan, write_plan
from datascaler.data.plan.shard_rows import ShardRows, rows_of_log, rows_of_table
from datascaler.data.pool.images import decode_pixels
from datascaler.data.pool.samples import OK, Sample
from datascaler.data.pool.shards import Shard
from datascaler.data.read import read_block as read_block_module
from datascaler.data.read.read_block import BlockReader
from datascaler.data.subset.uid_filter import save_filter
from datascaler.data.tables.index_tables import index_pool, read_shard
from datascaler.data.tables.score_table import footer_of, read_table, table_url, write_table
from datascaler.errors import ImageDecodeError, UnusableLogError
from datascaler.score.pipeline.prepare_samples import Preparation
from datascaler.score.score_pool import score_pool
from datascaler.train.loading.stream_source import Unplanned, UnplannedFeed
from tests.data.damaged_pools import DAMAGES, KEEP_THE_SIZE, REWRITTEN, DamagedPool, damaged_pool, seen_of
from tests.data.plain_tar import plain_samples
from tests.data.planned_pools import overwrite_unseen
from tests.data.random_pools import sorted_pairs
from tests.score.pools import spec_of
from tests.tiny_clip import save_local_dir

FRACTIONS = (0.02, 0.1, 0.3, 1.0, None)
"""None keeps everything without a subset."""
POOLS, SHARDS = 20, 16

Seen = Counter[tuple[str, bytes]]
"""Captions and pictures."""


def test_there_are_cases_enough() -> None:
    assert POOLS * SHARDS >= 300
    assert SHARDS % len(DAMAGES) == 0


@pytest.mark.parametrize("seed", range(POOLS))
def test_training_sees_what_scoring_calls_ok(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    check_pool_of(tmp_path, monkeypatch, random.Random(seed), seed, SHARDS)


@pytest.mark.parametrize("seed", range(3))
def test_damage_that_comes_after_planning_costs_its_own_samples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    check_damage_after_planning(tmp_path, monkeypatch, seed, SHARDS)


def test_what_the_commands_score_and_train_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real network's tables, its subset's plan, and what a training loop gets of an epoch; by a stream, too."""
    monkeypatch.setattr(build_plan_module, "PLAN_BLOCK_BYTES", 4_000)
    pool, out = damaged_pool(tmp_path / "pool", 7, SHARDS), f"{tmp_path}/out"
    model = save_local_dir(f"{tmp_path}/tiny")
    summary = score_pool(spec_of(str(pool.folder), out, model))
    expected = seen_of(pool.kept(None))
    assert summary.ok == expected.total()
    tables = pa.concat_tables(
        read_table(info.url, ["status", "score"])[0] for info in storage.list_files(summary.tables)
    )
    assert [math.isfinite(row["score"]) for row in tables.to_pylist()] == [
        row["status"] == OK for row in tables.to_pylist()
    ]
    plan, _ = compile_plan(pool.shards, partial(rows_of_table, summary.tables), None)
    write_plan(f"{out}/x.plan", plan)
    dataset = PlanDataset(f"{out}/x.plan", str(pool.folder), global_batch_size=7, drop_last=False, image_side=8)
    captions = Counter(caption for _, texts in dataset for caption in texts)
    assert captions == Counter(caption for caption, _ in expected.elements())


def check_pool_of(
    folder: Path, monkeypatch: pytest.MonkeyPatch, generator: random.Random, seed: int, shards: int
) -> None:
    monkeypatch.setattr(build_plan_module, "PLAN_BLOCK_BYTES", generator.choice([4_000, 15_000, 1 << 20]))
    monkeypatch.setattr(read_block_module, "LOCAL_REQUEST_BYTES", generator.choice([0, 2_000, 16_384]))
    pool = damaged_pool(folder / "pool", seed, shards, logs=generator.choice(["in order", "permuted"]))
    scores, index = str(folder / "scores"), str(folder / "index")
    for shard, good in zip(pool.shards, pool.good, strict=True):
        ok = Counter((sample.uid, sample.key) for sample in scored(shard, scores) if sample.status == OK)
        assert ok == Counter((_pair(each.uid), each.key) for each in good if each.decodes), shard.name
    index_pool(pool.shards, index)
    logged = {uid for uids in pool.uids for uid in uids}
    for fraction in FRACTIONS:
        wanted = None if fraction is None else pool.subset(generator, fraction)
        of_table = seen_of(pool.kept(wanted, usable=lambda sample: sample.decodes))
        of_index = seen_of(pool.kept(wanted))
        of_log = seen_of(pool.kept(logged if wanted is None else logged & set(wanted)))
        sees = partial(seen_by_plan, pool, folder, wanted)
        assert sees(partial(rows_of_table, scores)) == of_table, (fraction, "a plan from score tables")
        assert sees(partial(rows_of_table, index)) == of_index, (fraction, "a plan from pool index")
        assert sees(partial(rows_of_log_or_table, index)) == of_log, (fraction, "a plan from logs")
        assert seen_without_plan(pool, folder, wanted) == of_index, (fraction, "without a plan")


def scored(shard: Shard, folder: str) -> list[Sample]:
    """The rows of a shard as `score` judges them before a network comes in, left in a table."""
    rows = Preparation(None, None, None)(list(read_shard(shard))).samples
    write_table(table_url(folder, shard), footer_of(shard, "x"), rows, [0.0] * len(rows))
    return rows


def rows_of_log_or_table(folder: str, shard: Shard) -> ShardRows:
    """A log that its shard is too short for is refused."""
    try:
        return rows_of_log(shard)
    except UnusableLogError:
        return rows_of_table(folder, shard)


def seen_by_plan(
    pool: DamagedPool, folder: Path, wanted: list[str] | None, rows_of: Callable[[Shard], ShardRows]
) -> Seen:
    plan, coverage = compile_plan(pool.shards, rows_of, None if wanted is None else sorted_pairs(wanted))
    write_plan(f"{folder}/x.plan", plan)
    plan = map_plan(folder / "x.plan")
    found = list(read_all(plan, pool.shards))
    assert len(found) == plan.samples == coverage.present
    return seen(found)


def read_all(plan: Plan, shards: list[Shard]) -> Iterator[Sample]:
    reader = BlockReader(plan, match_shards(plan, shards))
    for number, kept in enumerate(plan.arrays["block_kept"].tolist()):
        # As two streams read a block that lies on the border between them.
        for first, last in ((0, kept // 2), (kept // 2, kept)):
            if last > first:
                yield from reader.samples(number, first, last)


def seen_without_plan(pool: DamagedPool, folder: Path, wanted: list[str] | None) -> Seen:
    if wanted is not None:
        (folder / "filter").mkdir(exist_ok=True)
        save_filter(folder / "filter", sorted_pairs(wanted))
    source = Unplanned(shards=pool.shards, filter_folder=folder / "filter" if wanted is not None else None)
    # One draw more would begin the next epoch.
    draws = UnplannedFeed(source, seed=3).part(0, len(pool.kept(wanted)), 0, 1)
    return seen(next(candidates) for _, candidates in draws)


def seen(samples: Iterator[Sample] | list[Sample]) -> Seen:
    """Those that decode, as training decodes them."""
    found: Seen = Counter()
    for sample in samples:
        try:
            decode_pixels(sample.image)
        except ImageDecodeError:
            continue
        found[sample.caption, sample.image] += 1
    return found


def check_damage_after_planning(folder: Path, monkeypatch: pytest.MonkeyPatch, seed: int, shards: int) -> None:
    """Shards rot behind the back of a plan. Whatever is read is the sample that was planned; missing may be only what
    lies behind a fault. (A long name has no checksum: where one rots, its block may be lost.)
    """
    generator = random.Random(seed)
    monkeypatch.setattr(build_plan_module, "PLAN_BLOCK_BYTES", generator.choice([4_000, 15_000]))
    pool = damaged_pool(folder / "pool", seed, shards, kinds=["sound"], formats=[tarfile.USTAR_FORMAT])
    index_pool(pool.shards, str(folder / "index"))
    for fraction in (0.1, 1.0):
        wanted = sorted_pairs(pool.subset(generator, fraction))
        plan, _ = compile_plan(pool.shards, partial(rows_of_table, str(folder / "index")), wanted)
        before = dict(placed(plan, pool.shards))
        contents = [Path(shard.url).read_bytes() for shard in pool.shards]
        kinds = generator.choices([kind for kind in KEEP_THE_SIZE if kind not in REWRITTEN], k=shards)
        for shard, content, kind in zip(pool.shards, contents, kinds, strict=True):
            overwrite_unseen(Path(shard.url), bytes(DAMAGES[kind](bytearray(content), generator)))
        good = [{each.key for each in plain_samples(Path(shard.url).read_bytes())} for shard in pool.shards]
        for (number, row), sample in placed(plan, pool.shards):
            was = before[number, row]
            if sample.status == OK:
                assert (sample.key, sample.offset) == (was.key, was.offset)
            else:
                assert was.key not in good[number], (kinds[number], row)
        for shard, content in zip(pool.shards, contents, strict=True):
            overwrite_unseen(Path(shard.url), content)


def placed(plan: Plan, shards: list[Shard]) -> Iterator[tuple[tuple[int, int], Sample]]:
    """(shard, row) and what was read there."""
    reader = BlockReader(plan, match_shards(plan, shards))
    for number, kept in enumerate(plan.arrays["block_kept"].tolist()):
        for sample in reader.samples(number, 0, kept) if kept else ():
            yield (plan.block(number).shard, sample.row), sample


def _pair(uid: str) -> tuple[int, int]:
    return int(uid[:16], 16), int(uid[16:], 16)
