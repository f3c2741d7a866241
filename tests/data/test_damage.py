"""Shards that are damaged at random: what scoring calls ok is what training sees, by every plan and without one."""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from datascaler.data import build_plan as build_plan_module
from datascaler.data import read_block as read_block_module
from datascaler.data.build_plan import compile_plan
from datascaler.data.images import ImageDecodeError, decode_pixels
from datascaler.data.index import index_pool, read_shard
from datascaler.data.plan import Plan, match_shards, open_plan, write_plan
from datascaler.data.pool import Shard
from datascaler.data.read_block import BlockReader
from datascaler.data.samples import OK, Sample
from datascaler.data.score_table import footer_of, table_url, write_table
from datascaler.data.shard_rows import ShardRows, UnusableLogError, rows_of_log, rows_of_table
from datascaler.data.uid_filter import save_filter
from datascaler.score.prepare import Preparation
from datascaler.train.unplanned import Unplanned, UnplannedFeed
from tests.data.damaged_pools import DAMAGES, DamagedPool, damaged_pool, seen_of
from tests.data.random_pools import sorted_pairs

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
    generator = random.Random(seed)
    check_pool_of(tmp_path, monkeypatch, generator, seed, SHARDS)


def check_pool_of(
    folder: Path, monkeypatch: pytest.MonkeyPatch, generator: random.Random, seed: int, shards: int
) -> None:
    monkeypatch.setattr(build_plan_module, "BLOCK_BYTES", generator.choice([4_000, 15_000, 1 << 20]))
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
    plan = open_plan(folder / "x.plan")
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


def _pair(uid: str) -> tuple[int, int]:
    return int(uid[:16], 16), int(uid[16:], 16)
