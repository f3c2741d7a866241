"""The reader against the order and the pool, draw by draw: on a local folder and on a real S3 server."""

import io
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from datascaler import storage
from datascaler.data import build_plan as build_plan_module
from datascaler.data.build_plan import build_plan
from datascaler.data.index import index_pool
from datascaler.data.order import Order
from datascaler.data.plan import Plan, match_shards
from datascaler.data.pool import Shard, find_shards
from datascaler.data.pool_rows import PoolSample
from datascaler.data.reader import Reader
from datascaler.data.samples import Sample, read_samples
from datascaler.data.uids import join_uid, sort_order, uid_array, uid_of
from datascaler.data.write_pool import write_pool
from datascaler.errors import BadInputError, NotFoundError
from tests.data.tars import members_of, picture, shard_of
from tests.data.test_order import reference_epoch

SAMPLES = 40
PER_SHARD = 12
BLOCK_BYTES = 12_000
"""Three samples or so: twelve blocks and more, so several streams."""


@dataclass
class Pool:
    url: str
    shards: list[Shard]
    plan: Plan

    def order(self, seed: int = 5) -> Order:
        return Order(self.plan.arrays["block_kept"], seed)

    @contextmanager
    def reader(self, order: Order) -> Iterator[Reader]:
        reader = Reader(self.plan, match_shards(self.plan, self.shards), order)
        try:
            yield reader
        finally:
            reader.close()

    def expected(self, seed: int, epoch: int) -> list[tuple[str, int]]:
        """(shard, row) of each draw of an epoch."""
        places = []
        kept = self.plan.arrays["block_kept"]
        for number, sample in reference_epoch(kept.tolist(), seed, epoch):
            block = self.plan.block(number)
            rows = self.plan.kept_rows(block.shard, block.first_row, block.end_row - block.first_row)
            places.append((self.plan.shards[block.shard].name, int(rows[sample])))
        return places


@pytest.fixture(params=["local", "s3"])
def pool(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Pool:
    monkeypatch.setattr(build_plan_module, "BLOCK_BYTES", BLOCK_BYTES)
    folder = request.getfixturevalue("s3_url" if request.param == "s3" else "tmp_path")
    url = f"{folder}/pool"
    write_pool(url, (sample_of(number) for number in range(SAMPLES)), PER_SHARD)
    return planned(url, kept_uids(), f"{folder}/index")


def planned(url: str, uids: list[str] | None, tables: str) -> Pool:
    shards = find_shards(url)
    index_pool(shards, tables)
    pairs = None if uids is None else uid_array(uids)[sort_order(uid_array(uids))]
    return Pool(url, shards, build_plan(shards, tables, pairs)[0])


def sample_of(number: int) -> PoolSample:
    return PoolSample(
        image=picture(number, size=(60, 40)), suffix="png", caption=f"caption {number} é", url=str(number)
    )


def uid_of_number(number: int) -> str:
    return uid_of(f"caption {number} é", str(number))


def kept_uids() -> list[str]:
    """Three in four of the pool, two of them twice and one three times."""
    numbers = [number for number in range(SAMPLES) if number % 4]
    return [uid_of_number(number) for number in [*numbers, 1, 13, 38, 38]]


def number_at(place: tuple[str, int]) -> int:
    shard, row = place
    return int(shard.removeprefix("shards/").removesuffix(".tar")) * PER_SHARD + row


def first_candidate(reader: Reader, order: Order, number: int) -> Sample:
    return next(reader.candidates(order.draw(number)))


def test_every_draw_of_two_epochs_is_the_sample_that_was_written(pool: Pool) -> None:
    order = pool.order()
    assert order.streams > 3
    expected = pool.expected(5, 0) + pool.expected(5, 1)
    assert len(expected) == 2 * order.epoch_size
    with pool.reader(order) as reader:
        for number, place in enumerate(expected):
            sample, written = first_candidate(reader, order, number), sample_of(number_at(place))
            assert sample.row == place[1]
            assert (sample.image, sample.caption) == (written.image, written.caption)
            assert join_uid(*sample.uid) == uid_of_number(number_at(place))


def test_draws_may_be_skipped_and_asked_for_again(pool: Pool) -> None:
    order = pool.order()
    expected = pool.expected(5, 0) + pool.expected(5, 1)
    generator = random.Random(1)
    numbers = sorted(generator.sample(range(len(expected)), 15))
    with pool.reader(order) as reader:
        for number in [*numbers, *numbers[::-1], 0]:
            sample = first_candidate(reader, order, number)
            assert join_uid(*sample.uid) == uid_of_number(number_at(expected[number]))


def test_parts_read_what_the_whole_reads(pool: Pool) -> None:
    order = pool.order()
    batch, parts = 13, 3
    read: dict[int, str] = {}
    for part in range(parts):
        with pool.reader(order) as reader:
            for step in range(6):
                for draw in order.share(step * batch, batch, part, parts):
                    read[draw.number] = join_uid(*next(reader.candidates(draw)).uid)
    expected = (pool.expected(5, 0) + pool.expected(5, 1) + pool.expected(5, 2))[: 6 * batch]
    assert [read[number] for number in range(6 * batch)] == [uid_of_number(number_at(place)) for place in expected]


def test_the_stand_ins_are_the_rest_of_the_window(pool: Pool) -> None:
    order = pool.order()
    with pool.reader(order) as reader:
        for number in (0, order.epoch_size // 2, order.epoch_size - 1):
            draw = order.draw(number)
            window = next(order.windows(draw.epoch, draw.stream, draw.position))
            found = [join_uid(*sample.uid) for sample in reader.candidates(draw)]
            assert len(found) == len(window.shuffle)
            # In the order of the draws, from this one round to the one before it.
            later = [
                number + order.streams * step for step in range(1, len(window.shuffle) + window.start - draw.position)
            ]
            assert found[1 : 1 + len(later)] == [join_uid(*first_candidate(reader, order, each).uid) for each in later]


def test_bytes_that_changed_are_an_error_that_names_the_shard(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("changed")
    tar = folder / "pool" / "0.tar"
    tar.parent.mkdir()
    whole = shard_of(members_of(number) for number in range(6))
    tar.write_bytes(whole)
    pool = planned(str(tar.parent), None, f"{folder}/index")
    last = max(sample.offset for sample in samples_in(whole))
    damaged = bytearray(whole)
    damaged[last + 3] ^= 1
    bad_caption = shard_of([*(members_of(number) for number in range(5)), members_of(5) | {"txt": b"\xff"}])
    others = {
        "row 5 .*: tar damaged here": bytes(damaged),
        "row 5 .*: caption is not UTF-8": bad_caption,
        "row 0 .*: not there": bytes(len(whole)),
        "row 0 .*: tar damaged here": b"garbage!" * (len(whole) // 8),
        "row 5 .*: not there": whole[:last],
    }
    for message, content in others.items():
        tar.write_bytes(content)
        order = pool.order()
        with pool.reader(order) as reader, pytest.raises(BadInputError, match=rf"0\.tar has changed since .*{message}"):
            first_candidate(reader, order, 0)
    tar.unlink()
    with pool.reader(order) as reader, pytest.raises(NotFoundError, match=r"0\.tar: not found"):
        first_candidate(reader, order, 0)


def samples_in(content: bytes) -> list[Sample]:
    return list(read_samples(io.BytesIO(content)))


def test_only_the_blocks_that_are_needed_are_read(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shard without kept samples is never opened, and a block is asked for by its range."""
    ranges: list[tuple[str, int, int]] = []
    read_bytes = storage.read_bytes

    def noting(url: str, start: int | None = None, end: int | None = None) -> bytes:
        assert start is not None
        assert end is not None
        ranges.append((url, start, end))
        return read_bytes(url, start, end)

    one_shard = [uid_of_number(number) for number in range(PER_SHARD, 2 * PER_SHARD)]
    small = planned(pool.url, one_shard, pool.url + "-index")
    monkeypatch.setattr(storage, "read_bytes", noting)
    order = small.order()
    with small.reader(order) as reader:
        for number in range(order.epoch_size):
            first_candidate(reader, order, number)
    assert {url.rpartition("/")[2] for url, _, _ in ranges} == {"00000001.tar"}
    assert all(0 < end - start <= BLOCK_BYTES for _, start, end in ranges)
