"""The reader against the order and the pool, draw by draw: on a local folder and on a real S3 server."""

import json
import random
from pathlib import Path

import pytest

from datascaler import storage
from datascaler.data.make.write_pool import write_pool
from datascaler.data.plan import compile_plan as build_plan_module
from datascaler.data.pool.pool_rows import PoolSample
from datascaler.data.pool.samples import Sample
from datascaler.data.pool.uids import uid_of
from datascaler.data.read.cache import BlockCache
from datascaler.data.read.order import Order
from datascaler.data.read.reader import Reader
from tests.data.planned_pools import STREAMS, Pool, number_of, planned, tar_pool
from tests.data.tars import picture

SAMPLES = 40
PER_SHARD = 12
BLOCK_BYTES = 12_000
"""Three samples or so: twelve blocks and more."""


@pytest.fixture(params=["local", "s3"])
def pool(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Pool:
    monkeypatch.setattr(build_plan_module, "PLAN_BLOCK_BYTES", BLOCK_BYTES)
    folder = request.getfixturevalue("s3_url" if request.param == "s3" else "tmp_path")
    url = f"{folder}/pool"
    write_pool(url, (sample_of(number) for number in range(SAMPLES)), PER_SHARD)
    return planned(url, kept_uids(), f"{folder}/index")


def sample_of(number: int) -> PoolSample:
    return PoolSample(
        image=picture(number, size=(60, 40)), suffix="png", caption=f"caption {number} é", url=str(number)
    )


def uid_of_sample(number: int) -> str:
    return uid_of(f"caption {number} é", str(number))


def kept_uids() -> list[str]:
    """Three in four of the pool, two of them twice and one three times."""
    numbers = [number for number in range(SAMPLES) if number % 4]
    return [uid_of_sample(number) for number in [*numbers, 1, 13, 38, 38]]


def number_at(place: tuple[str, int]) -> int:
    shard, row = place
    return int(shard.removeprefix("shards/").removesuffix(".tar")) * PER_SHARD + row


def first_candidate(reader: Reader, order: Order, number: int) -> Sample:
    return next(reader.candidates(order.draw(number)))


def test_every_draw_of_two_epochs_is_the_sample_that_was_written(pool: Pool) -> None:
    order = pool.order()
    expected = pool.expected(order, 5, epochs=2)
    assert len(expected) == 2 * order.samples == 2 * len(kept_uids())
    with pool.reader(order, end=len(expected)) as reader:
        for number, place in enumerate(expected):
            sample, written = first_candidate(reader, order, number), sample_of(number_at(place))
            assert sample.row == place[1]
            assert (bytes(sample.image), sample.caption) == (written.image, written.caption)


def test_draws_may_be_skipped_and_asked_for_again(pool: Pool) -> None:
    order = pool.order()
    expected = pool.expected(order, 5, epochs=2)
    generator = random.Random(1)
    numbers = sorted(generator.sample(range(len(expected)), 15))
    with pool.reader(order, end=len(expected)) as reader:
        reader.start([order.draw(number) for number in numbers[:3]])
        for number in [*numbers, *numbers[::-1], 0]:
            sample = first_candidate(reader, order, number)
            assert number_of(sample) == number_at(expected[number])


def test_parts_read_what_the_whole_reads(pool: Pool) -> None:
    order = pool.order()
    batch, parts = 13, 3
    read: dict[int, int] = {}
    for part in range(parts):
        with pool.reader(order, end=6 * batch) as reader:
            for step in range(6):
                draws = order.share(step * batch, batch, part, parts)
                reader.start(draws)
                for draw in draws:
                    read[draw.number] = number_of(next(reader.candidates(draw)))
    expected = pool.expected(order, 5, epochs=3)[: 6 * batch]
    assert [read[number] for number in range(6 * batch)] == [number_at(place) for place in expected]


def test_only_the_blocks_that_are_needed_are_read_and_each_once(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shard without kept samples is never opened; a block on a border between streams is read by both."""
    one_shard = [uid_of_sample(number) for number in range(PER_SHARD, 2 * PER_SHARD)]
    small = planned(pool.url, one_shard, pool.url + "-index")
    asked = noted_ranges(monkeypatch)
    small.drawn(small.order())
    assert {url.rpartition("/")[2] for url, _, _ in asked} == {"00000001.tar"}
    assert all(0 < end - start <= BLOCK_BYTES for _, start, end in asked)
    assert len(asked) < small.blocks + STREAMS


def test_where_little_is_kept_only_that_is_read_and_it_is_the_same(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    few = [uid_of_sample(number) for number in (1, 9, 20, 35)]
    with monkeypatch.context() as patch:
        patch.setattr("datascaler.data.plan.arrays.RANGES_BELOW", 0.0)
        whole = planned(pool.url, few, pool.url + "-index")
    sparse = planned(pool.url, few, pool.url + "-index")
    assert whole.plan.ranges(0) is None
    assert sparse.plan.ranges(0) is not None
    expected = whole.drawn(whole.order(), epochs=2)
    monkeypatch.setattr("datascaler.data.read.read_block.LOCAL_REQUEST_BYTES", 0)
    monkeypatch.setattr("datascaler.data.read.read_block.REMOTE_REQUEST_BYTES", 0)
    asked = noted_ranges(monkeypatch)
    assert sparse.drawn(sparse.order(), epochs=2) == expected
    per_epoch = sum(end - start for _, start, end in asked) / 2
    assert per_epoch < len(few) * BLOCK_BYTES / 2


def test_copies_are_read_alone_where_the_rest_of_the_block_is_not_wanted(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything is kept, and one sample three times."""
    monkeypatch.setattr("datascaler.data.read.read_block.LOCAL_REQUEST_BYTES", 0)
    monkeypatch.setattr("datascaler.data.read.read_block.REMOTE_REQUEST_BYTES", 0)
    plain = planned(pool.url, [uid_of_sample(number) for number in range(SAMPLES)], pool.url + "-index")
    uids = [uid_of_sample(number) for number in [*range(SAMPLES), 17, 17]]
    repeated = planned(pool.url, uids, pool.url + "-index")
    asked = noted_ranges(monkeypatch)
    one_stream = Order(plain.plan.arrays["block_kept"], 5, 1)
    assert sorted(plain.drawn(one_stream)) == list(range(SAMPLES))
    once = sum(end - start for _, start, end in asked)
    asked.clear()
    one_stream = Order(repeated.plan.arrays["block_kept"], 5, 1, repeated.plan.copies)
    assert sorted(repeated.drawn(one_stream)) == sorted([*range(SAMPLES), 17, 17])
    assert sum(end - start for _, start, end in asked) < once + 2 * BLOCK_BYTES


def test_a_second_epoch_comes_from_the_cache(pool: Pool, tmp_path_factory: pytest.TempPathFactory) -> None:
    order = pool.order()
    cache = BlockCache(tmp_path_factory.mktemp("cache"), 1 << 20)
    expected = [number_at(place) for place in pool.expected(order, 5, epochs=2)]
    assert pool.drawn(order, epochs=2, cache=cache) == expected
    with pytest.MonkeyPatch.context() as patch:
        asked = noted_ranges(patch)
        assert pool.drawn(order, epochs=2, cache=cache) == expected
    # Blocks on the borders between streams are only kept when a stream reads one whole.
    assert len(asked) <= 2 * 2 * STREAMS


HALVES = ["half \ud83d", "\udcff"]
ODD_CAPTIONS = ["\ufeffmarked", "", "nul \0", "\u202eright to left", "two\nlines\r", "é" * 5000]


def test_captions_come_from_the_cache_as_from_the_pool(tmp_path: Path) -> None:
    """Whatever is text; halves of surrogates, which JSON may hold and UTF-8 may not, are no samples of a plan."""
    samples = [
        {"jpg": picture(number), "json": json.dumps({"uid": f"{number:032x}", "caption": caption}).encode()}
        for number, caption in enumerate([*HALVES, *ODD_CAPTIONS])
    ]
    pool = tar_pool(tmp_path, [samples])
    order, cache = (
        Order(pool.plan.arrays["block_kept"], 5, 1, pool.plan.copies),
        BlockCache(tmp_path / "cache", 1 << 20),
    )

    def captions() -> list[str]:
        with pool.reader(order, order.samples, cache) as reader:
            return [first_candidate(reader, order, number).caption for number in range(order.samples)]

    read = captions()
    (tmp_path / "pool/0.tar").unlink()
    assert captions() == read
    assert sorted(read) == sorted(caption.removeprefix("\ufeff") for caption in ODD_CAPTIONS)


def noted_ranges(patch: pytest.MonkeyPatch) -> list[tuple[str, int, int]]:
    """Every range that is asked for from now on."""
    asked: list[tuple[str, int, int]] = []
    read_ranges, read_local_into = storage.read_ranges, storage.read_local_into

    def noting(url: str, ranges: list[tuple[int, int]]) -> list[bytes]:
        asked.extend((url, start, end) for start, end in ranges)
        return read_ranges(url, ranges)

    def noting_local(url: str, start: int, buffer: memoryview) -> int:
        asked.append((url, start, start + len(buffer)))
        return read_local_into(url, start, buffer)

    patch.setattr(storage, "read_ranges", noting)
    patch.setattr(storage, "read_local_into", noting_local)
    return asked
