"""The order against a slow one that is obviously right, and the promises that elastic training rests on."""

from collections.abc import Sequence
from itertools import groupby, zip_longest
from typing import TypeVar

import numpy as np
import pytest

from datascaler.data.read.order import MAX_STREAMS, Draw, Order, Window, streams_for
from datascaler.errors import ConfigError

Item = TypeVar("Item")
Sample = tuple[int, int]
"""Block and number among its kept samples."""


def permuted(count: int, seed: int, epoch: int, purpose: int) -> list[int]:
    """The places by ascending random number."""
    raw = np.random.Philox(key=[seed, epoch], counter=[0, 0, 0, purpose]).random_raw(count).tolist()
    return sorted(range(count), key=lambda place: raw[place])


def reference_epoch(block_kept: Sequence[int], seed: int, epoch: int, streams: int) -> list[Sample]:
    """The samples of an epoch of whole blocks in the order of their draws."""
    full = [[(block, sample) for sample in range(kept)] for block, kept in enumerate(block_kept) if kept]
    return reference_draws(full, seed, epoch, streams)


def reference_draws(parts: Sequence[Sequence[Item]], seed: int, epoch: int, streams: int) -> list[Item]:
    """What is in the parts in the order of its draws: everything written out, nothing looked up."""
    laid_out = [(at, item) for at in permuted(len(parts), seed, epoch, 0) for item in parts[at]]
    columns, end = [], 0
    for stream in range(streams):
        start, end = end, end + len(laid_out) // streams + (stream < len(laid_out) % streams)
        column: list[Item] = []
        for _, run in groupby(range(start, end), key=lambda at: laid_out[at][0]):
            window = list(run)
            column += [laid_out[window[at]][1] for at in permuted(len(window), seed, epoch, 1 + window[0])]
        columns.append(column)
    rows = zip_longest(*columns)
    return [item for row in rows for item in row if item is not None]


def sample_at(order: Order, draw: Draw) -> Sample:
    window = next(order.windows(draw.epoch, draw.stream, draw.position))
    return window.block, window.first + int(window.shuffle[draw.position - window.start])


def kept_of(blocks: int, seed: int = 0, most: int = 9) -> list[int]:
    """Blocks with 0 to `most` kept samples."""
    return [int(kept) for kept in np.random.default_rng(seed).integers(0, most + 1, blocks)]


POOLS = {
    "one sample": [1],
    "one sample among empty blocks": [0, 0, 1, 0],
    "one block": [17],
    "two blocks": [5, 0, 4],
    "three blocks": [1, 1, 1],
    "a few": kept_of(12),
    "one huge block": [1, 200, 1, 1, 2, 0, 1, 3],
    "many": kept_of(70, seed=1),
    "more than there are streams for": kept_of(2 * MAX_STREAMS + 90, seed=2, most=3),
}


def order_of(block_kept: Sequence[int], seed: int = 0, streams: int | None = None) -> Order:
    samples = sum(block_kept)
    return Order(np.array(block_kept, np.uint32), seed, streams or streams_of(samples))


def streams_of(samples: int) -> int:
    """Some number that divides nothing."""
    return max(1, min(11, samples // 3))


@pytest.mark.parametrize("name", POOLS)
def test_the_order_is_the_slow_one(name: str) -> None:
    order = order_of(POOLS[name], seed=7)
    expected = [sample for epoch in (0, 1) for sample in reference_epoch(POOLS[name], 7, epoch, order.streams)]
    assert len(expected) == 2 * order.samples
    assert [sample_at(order, order.draw(number)) for number in range(len(expected))] == expected


@pytest.mark.parametrize("name", POOLS)
@pytest.mark.parametrize("streams", [1, 2, 7])
def test_an_epoch_draws_each_sample_exactly_once(name: str, streams: int) -> None:
    order = order_of(POOLS[name], streams=streams)
    everything = [(block, sample) for block, kept in enumerate(POOLS[name]) for sample in range(kept)]
    for epoch in range(3):
        drawn = [sample_at(order, order.draw(epoch * order.samples + number)) for number in range(order.samples)]
        assert sorted(drawn) == everything


@pytest.mark.parametrize("parts", [1, 2, 3, 4, 5, 6, 7, 16])
@pytest.mark.parametrize(("first", "batch"), [(0, 32), (32, 32), (5, 7), (300, 61), (0, 1), (17, 500)])
def test_the_parts_of_a_batch_are_the_batch(parts: int, first: int, batch: int) -> None:
    order = order_of(POOLS["many"])
    shares = [order.share(first, batch, index, parts) for index in range(parts)]
    assert sorted(draw.number for share in shares for draw in share) == list(range(first, first + batch))
    assert [draw for share in shares for draw in share] == order.share(first, batch, 0, 1)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert all(draw == order.draw(draw.number) for share in shares for draw in share)
    for share in shares:
        streams = [draw.stream for draw in share]
        assert streams == sorted(streams)


def test_a_part_stays_with_its_streams() -> None:
    order = order_of(POOLS["many"])
    batch = 2 * order.streams
    for index in range(4):
        seen = {draw.stream for step in range(6) for draw in order.share(step * batch, batch, index, 4)}
        assert len(seen) <= order.streams // 4 + 2


@pytest.mark.parametrize("name", ["one sample", "two blocks", "a few", "many"])
def test_any_draw_number_can_be_resumed_from(name: str) -> None:
    straight, resumed = order_of(POOLS[name], seed=3), order_of(POOLS[name], seed=3)
    numbers = [
        0,
        1,
        straight.samples - 1,
        straight.samples,
        2 * straight.samples + 1,
        10 * straight.samples,
    ]
    expected = {number: sample_at(straight, straight.draw(number)) for number in range(numbers[-1] + 1)}
    for number in reversed(numbers):
        assert sample_at(resumed, resumed.draw(number)) == expected[number]


def test_the_batch_does_not_decide_the_order() -> None:
    order = order_of(POOLS["many"])
    by_batch = {
        batch: [draw for first in range(0, 420, batch) for draw in sorted_share(order, first, batch)]
        for batch in (1, 7, 42, 420)
    }
    assert all(draws == by_batch[1] for draws in by_batch.values())


def sorted_share(order: Order, first: int, batch: int) -> list[Draw]:
    return sorted(order.share(first, batch, 0, 1), key=lambda draw: draw.number)


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    block_kept = POOLS["many"]
    orders = [reference_epoch(block_kept, seed, epoch, 11) for seed in (0, 1, 2**63) for epoch in (0, 1, 2)]
    for number, one in enumerate(orders):
        for other in orders[:number]:
            assert sum(a == b for a, b in zip(one, other, strict=True)) < len(one) / 5
    order = order_of(block_kept, seed=2**63, streams=11)
    assert sample_at(order, order.draw(0)) == orders[6][0]


@pytest.mark.parametrize("name", POOLS)
def test_windows_tile_the_streams(name: str) -> None:
    order = order_of(POOLS[name])
    for stream in range(order.streams):
        windows = list(order.windows(0, stream))
        position = 0
        for window in windows:
            assert window.start == position
            assert sorted(window.shuffle.tolist()) == list(range(window.last - window.first))
            assert 0 <= window.first < window.last <= POOLS[name][window.block]
            position = window.end
        assert position == order.stream_size(stream)
        for position in range(order.stream_size(stream)):
            later = list(order.windows(0, stream, position))
            assert as_values(later) == as_values([window for window in windows if ends_after(window, position)])


def ends_after(window: Window, position: int) -> bool:
    return window.end > position


def as_values(windows: list[Window]) -> list[object]:
    return [(window.start, window.block, window.first, window.last, window.shuffle.tolist()) for window in windows]


@pytest.mark.parametrize(
    ("blocks", "batch", "expected"),
    [
        (100_000, 4096, MAX_STREAMS),
        (100_000, 90_112, MAX_STREAMS),
        (100_000, 1000, 250),  # the largest divisor
        (100_000, 1009, MAX_STREAMS),  # a prime
        (100_000, 96, 96),
        (48, 4096, 2),  # blocks on a border are read twice
        (3, 4096, 1),
    ],
)
def test_streams_divide_the_batch_where_they_can(blocks: int, batch: int, expected: int) -> None:
    assert streams_for(blocks, blocks * 4e6, batch) == expected


def test_the_windows_of_all_streams_fit_in_memory() -> None:
    assert streams_for(10_000, 10_000 * (100 << 20), 4096) == 8
    assert streams_for(10_000, 10_000 * (10 << 30), 4096) == 1


@pytest.mark.parametrize("block_kept", [[], [0], [0, 0, 0]])
def test_a_plan_that_keeps_nothing_is_refused(block_kept: list[int]) -> None:
    with pytest.raises(ConfigError, match="matches no sample of this pool"):
        order_of(block_kept)


def test_the_order_of_a_seed_never_changes() -> None:
    """Checkpoints outlive releases: a change of this sequence would break every run that is resumed across it."""
    order = order_of([3, 1, 2, 2, 4], streams=2)
    drawn = [sample_at(order, order.draw(number)) for number in range(12)]
    assert drawn == [(0, 2), (4, 2), (0, 0), (4, 3), (0, 1), (4, 1), (2, 0), (4, 0), (2, 1), (3, 0), (1, 0), (3, 1)]
