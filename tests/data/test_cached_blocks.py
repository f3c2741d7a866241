"""Blocks in the node's cache: plans of one subset that cut blocks otherwise share a folder and never a wrong sample."""

import shutil
import struct
from pathlib import Path

import pytest

from datascaler.data.plan import compile_plan as build_plan_module
from datascaler.data.plan.plan import Plan
from datascaler.data.read.cache import BlockCache
from datascaler.data.read.read_block import BlockReader
from tests.data.planned_pools import Pool, planned, tar_pool, uid_of_number
from tests.data.tars import members_of

SAMPLES, PER_SHARD = 48, 24
SIZES = (6_000, 12_000, 1 << 20)


@pytest.fixture(scope="module")
def pools(tmp_path_factory: pytest.TempPathFactory) -> list[Pool]:
    """One pool and one subset, with repeats, in blocks of three sizes; at last another subset in the same blocks."""
    folder = tmp_path_factory.mktemp("cached")
    shards = [[members_of(number) for number in range(at, at + PER_SHARD)] for at in range(0, SAMPLES, PER_SHARD)]
    uids = [uid_of_number(number) for number in [*(n for n in range(SAMPLES) if n % 4), 5, 5, 9]]
    found = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build_plan_module, "PLAN_BLOCK_BYTES", SIZES[0])
        found.append(tar_pool(folder, shards, uids))
        for size in SIZES[1:]:
            patch.setattr(build_plan_module, "PLAN_BLOCK_BYTES", size)
            found.append(planned(found[0].url, uids, f"{folder}/index"))
        found.append(
            planned(found[0].url, [uid_of_number(number) for number in range(0, SAMPLES, 2)], f"{folder}/index")
        )
    assert len({pool.plan.subset_digest for pool in found}) == 2
    assert len({pool.plan.pool_digest for pool in found}) == 1
    return found


def test_plans_of_one_subset_share_a_cache(pools: list[Pool], tmp_path: Path) -> None:
    """In any order, twice each: what they draw is what they draw without a cache."""
    expected = [pool.drawn(pool.order(), epochs=2) for pool in pools]
    for name, turns in (("one", (0, 1, 2, 3, 0, 1, 2, 3)), ("two", (2, 3, 1, 0, 2, 0, 1, 3))):
        cache = BlockCache(tmp_path / name, 1 << 24)
        for number in turns:
            pool = pools[number]
            assert pool.drawn(pool.order(), epochs=2, cache=cache) == expected[number]


def whole_blocks(plan: Plan, reader: BlockReader) -> list[tuple[int, bytes, str]]:
    kept = plan.arrays["block_kept"].tolist()
    samples = [sample for number, count in enumerate(kept) if count for sample in reader.samples(number, 0, count)]
    return [(sample.row, bytes(sample.image), sample.caption) for sample in samples]


def test_what_is_not_the_blocks_own_is_read_again(
    pools: list[Pool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Entries with a right checksum: of other rows, cut, empty, of a count that can't be, of an older form."""
    pool = pools[0]
    cache = BlockCache(tmp_path / "cache", 1 << 24)
    expected = whole_blocks(pool.plan, BlockReader(pool.plan, pool.shards))
    put, wrong = cache.put, iter(range(10**6))

    def put_something_else(key: str, content: bytes) -> None:
        old_form = struct.pack("<I", 1) + content[8:]
        choices = [content[:-1], b"", b"\xff" * 12, content[:4] + b"\7\0\0\0" + content[8:], old_form, content + b"x"]
        put(key, choices[next(wrong) % len(choices)])

    with monkeypatch.context() as patch:
        patch.setattr(cache, "put", put_something_else)
        assert whole_blocks(pool.plan, BlockReader(pool.plan, pool.shards, cache)) == expected
    reader = BlockReader(pool.plan, pool.shards, cache)
    assert whole_blocks(pool.plan, reader) == expected
    shutil.rmtree(pool.url + "-away", ignore_errors=True)
    Path(pool.url).rename(pool.url + "-away")
    try:
        assert whole_blocks(pool.plan, reader) == expected, "the right entries are kept now"
    finally:
        Path(pool.url + "-away").rename(pool.url)


def test_a_repeated_subset_and_a_plain_one_share_entries(pools: list[Pool], tmp_path: Path) -> None:
    """An entry is of the distinct rows of a block; how often each is drawn does not matter."""
    repeated = pools[0]
    uids = sorted({uid_of_number(number) for number in range(SAMPLES) if number % 4})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build_plan_module, "PLAN_BLOCK_BYTES", SIZES[0])
        plain = planned(repeated.url, uids, f"{repeated.url}/../index")
    cache = BlockCache(tmp_path / "cache", 1 << 24)
    whole_blocks(plain.plan, BlockReader(plain.plan, plain.shards, cache))
    before = sorted(path.name for path in (tmp_path / "cache").glob("*/*"))
    whole_blocks(repeated.plan, BlockReader(repeated.plan, repeated.shards, cache))
    assert sorted(path.name for path in (tmp_path / "cache").glob("*/*")) == before
