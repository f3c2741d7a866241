"""What stands in for lost samples: each another one while there are any, from all over the stream, in few reads."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from datascaler.data.plan import compile_plan as build_plan_module
from datascaler.data.pool.samples import Sample
from datascaler.data.read.order import Draw, Order, Window
from datascaler.data.read.stand_ins import StandIns
from datascaler.errors import BadInputError
from tests.data.planned_pools import Pool, number_of, overwrite_unseen, tar_pool
from tests.data.tars import members_of, picture

GOOD = picture(0)

Place = tuple[int, int]
"""Block and row."""


@dataclass
class Fake:
    """Blocks of equal size in memory, of which some samples are lost or do not decode."""

    blocks: int
    size: int
    is_good: Callable[[int, int], bool]
    streams: int = 1
    reads: list[tuple[int, int, int]] = field(default_factory=list)

    def read(self, block: int, first: int, last: int) -> list[Sample]:
        self.reads.append((block, first, last))
        return [self._sample(block, row) for row in range(first, last)]

    def order(self, seed: int = 0) -> Order:
        return Order(np.full(self.blocks, self.size, np.uint32), seed, self.streams)

    def stand_ins(self, order: Order, window: Window, stream: int, count: int) -> list[Place]:
        """Of the window's first `count` lost draws."""
        stand_ins = StandIns(order, 0, stream, window, self.read)
        return [place_of(next(stand_ins.from_number(number, 0))) for number in range(count)]

    def _sample(self, block: int, row: int) -> Sample:
        image = GOOD if self.is_good(block, row) else [b"", b"<html>403</html>"][row % 2]
        return Sample(row=row, key="", offset=block, length=0, image=image)


def place_of(sample: Sample) -> Place:
    return sample.offset, sample.row


def windows_of(order: Order, lost: Iterable[int]) -> list[tuple[int, Window]]:
    blocks = set(lost)
    every = [(stream, window) for stream in range(order.streams) for window in order.windows(0, stream)]
    return [(stream, window) for stream, window in every if window.block in blocks]


@pytest.mark.parametrize(
    ("blocks", "size", "lost", "streams"),
    [(2, 60, [1], 1), (40, 30, [3, 4, 20], 1), (40, 30, [3, 4, 20], 3), (12, 7, range(0, 12, 2), 1), (9, 1, [4], 2)],
)
def test_every_draw_of_a_lost_window_has_another_stand_in(
    blocks: int, size: int, lost: Iterable[int], streams: int
) -> None:
    pool = Fake(blocks, size, lambda block, _: block not in lost, streams)
    order = pool.order()
    for stream, window in windows_of(order, lost):
        count = window.last - window.first
        found = pool.stand_ins(order, window, stream, count)
        assert len(set(found)) == count
        assert all(block not in lost for block, _ in found)


def test_where_there_are_fewer_each_is_used_as_often() -> None:
    """Two blocks of 60 and only 12 good samples in the other, or 12 in the window itself and none elsewhere."""
    for good_block in (0, 1):
        good = {(good_block, row) for row in range(1, 60, 5)}
        pool = Fake(2, 60, lambda block, row, good=good: (block, row) in good)  # type: ignore[misc]
        order = pool.order()
        ((stream, window),) = windows_of(order, [0])
        times = Counter(pool.stand_ins(order, window, stream, 59))
        assert len(times) == 12
        assert set(times.values()) <= {4, 5}


def test_stand_ins_come_from_all_over_the_stream_and_few_reads() -> None:
    pool = Fake(200, 130, lambda block, _: block != 77)
    order = pool.order()
    ((stream, window),) = windows_of(order, [77])
    found = pool.stand_ins(order, window, stream, 130)
    assert len(pool.reads) == len({block for block, _, _ in pool.reads}) == 8
    assert max(Counter(block for block, _ in found).values()) == 17
    at = {each.block: number for number, each in enumerate(order.windows(0, 0))}
    places = sorted(at[block] for block in {block for block, _ in found})
    assert max(after - before for before, after in zip([0, *places], [*places, 200], strict=True)) < 60


def test_no_sample_stands_in_for_two_draws_of_different_lost_windows() -> None:
    """As far as the windows that they turn to first are good."""
    lost = set(range(0, 200, 40))
    pool = Fake(200, 128, lambda block, _: block not in lost)
    order = pool.order(seed=3)
    found = [
        place for stream, window in windows_of(order, lost) for place in pool.stand_ins(order, window, stream, 128)
    ]
    assert Counter(found).most_common(1)[0][1] <= 2
    assert len(set(found)) > 0.97 * len(found)


def test_a_pool_in_which_all_is_lost_ends_soon() -> None:
    pool = Fake(5000, 130, lambda *_: False, streams=4)
    order = pool.order()
    stream, window = windows_of(order, [9])[0]
    with pytest.raises(BadInputError, match=r"none of the \d+ samples that could stand in for draw 0 can be read"):
        pool.stand_ins(order, window, stream, 1)
    assert len(pool.reads) < 200


# ---- through the reader ----------------------------------------------------------------------------------------

PER_SHARD, SHARDS, LOST = 20, 6, 2


@pytest.fixture(params=["lost", "html", "half"])
def pool(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pool:
    """A shard is gone, or its images are error pages, or every other of them is one."""
    monkeypatch.setattr(build_plan_module, "PLAN_BLOCK_BYTES", 20_000)
    samples = [members_of(number) for number in range(PER_SHARD * SHARDS)]
    for number in range(LOST * PER_SHARD, (LOST + 1) * PER_SHARD):
        if request.param == "html" or (request.param == "half" and number % 2):
            samples[number] = members_of(number) | {"png": b"<html>403</html>"}
    shards = [samples[first : first + PER_SHARD] for first in range(0, len(samples), PER_SHARD)]
    pool = tar_pool(tmp_path, shards)
    if request.param == "lost":
        overwrite_unseen(tmp_path / "pool" / f"{LOST}.tar", b"")
    return pool


def test_what_a_lost_shard_is_replaced_by(pool: Pool) -> None:
    """One draw at a time, from first to last and in any order: the same, and in a window no sample twice."""
    order = pool.order()
    replaced = drawn_instead(pool, order, range(order.samples))
    assert len(replaced) in (PER_SHARD, PER_SHARD // 2)
    windows: dict[Place, list[int]] = {}
    for draw, stand_in in replaced.items():
        windows.setdefault(window_of(order, order.draw(draw)), []).append(stand_in)
    assert max(map(len, windows.values())) >= 3
    for found in windows.values():
        assert len(set(found)) == len(found)
    assert Counter(replaced.values()).most_common(1)[0][1] <= 2
    shuffled = np.random.default_rng(0).permutation(order.samples).tolist()
    assert drawn_instead(pool, order, shuffled) == replaced
    assert drawn_instead(pool, order, sorted(replaced)[-3:]) == dict(sorted(replaced.items())[-3:])


def window_of(order: Order, draw: Draw) -> Place:
    return draw.stream, next(order.windows(draw.epoch, draw.stream, draw.position)).start


def drawn_instead(pool: Pool, order: Order, numbers: Iterable[int]) -> dict[int, int]:
    """Draw -> the sample that stands in, of those that need one."""
    found = {}
    with pool.reader(order) as reader:
        for number in numbers:
            candidates = reader.candidates(order.draw(number))
            if next(candidates).image in (b"", b"<html>403</html>"):
                found[number] = number_of(next(candidates))
    return found
