"""The order against a slow one that is obviously right, and the promises that elastic training rests on."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest

from datascaler.data.order import MAX_STREAMS, Draw, Order, Window
from datascaler.errors import ConfigError

Sample = tuple[int, int]
"""Block and number among its kept samples."""


def permuted(count: int, seed: int, epoch: int, purpose: int) -> list[int]:
    """The places by ascending random number."""
    raw = np.random.Philox(key=[seed, epoch], counter=[0, 0, 0, purpose]).random_raw(count).tolist()
    return sorted(range(count), key=lambda place: raw[place])


def reference_epoch(block_kept: Sequence[int], seed: int, epoch: int) -> list[Sample]:
    """The samples of an epoch in the order of their draws: everything written out, nothing looked up."""
    full = [block for block, kept in enumerate(block_kept) if kept]
    laid_out = [
        (full[at], sample) for at in permuted(len(full), seed, epoch, 0) for sample in range(block_kept[full[at]])
    ]
    streams = min(max(len(full) // 2, 1), 128)
    size = len(laid_out) // streams
    columns = []
    for stream in range(streams):
        column: list[Sample] = []
        position, end = stream * size, (stream + 1) * size
        while position < end:
            # A window: what is left of the block that the position is in, and the block after it.
            blocks: list[int] = []
            window: list[Sample] = []
            for sample in laid_out[position:end]:
                if sample[0] not in blocks:
                    blocks.append(sample[0])
                if len(blocks) > 2:
                    break
                window.append(sample)
            column += [window[at] for at in permuted(len(window), seed, epoch, 1 + position)]
            position += len(window)
        columns.append(column)
    return [column[position] for position in range(size) for column in columns]


def sample_at(order: Order, draw: Draw) -> Sample:
    window = next(order.windows(draw.epoch, draw.stream, draw.position))
    inside = [(each.block, sample) for each in window.segments for sample in range(each.first, each.last)]
    return inside[int(window.shuffle[draw.position - window.start])]


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


def order_of(block_kept: Sequence[int], seed: int = 0) -> Order:
    return Order(np.array(block_kept, np.uint32), seed)


@pytest.mark.parametrize("name", POOLS)
def test_the_order_is_the_slow_one(name: str) -> None:
    order = order_of(POOLS[name], seed=7)
    expected = [sample for epoch in (0, 1) for sample in reference_epoch(POOLS[name], 7, epoch)]
    assert len(expected) == 2 * order.epoch_size
    assert [sample_at(order, order.draw(number)) for number in range(len(expected))] == expected


@pytest.mark.parametrize("name", POOLS)
def test_an_epoch_draws_each_sample_at_most_once(name: str) -> None:
    order = order_of(POOLS[name])
    everything = {(block, sample) for block, kept in enumerate(POOLS[name]) for sample in range(kept)}
    for epoch in range(3):
        drawn = [sample_at(order, order.draw(epoch * order.epoch_size + number)) for number in range(order.epoch_size)]
        assert len(set(drawn)) == len(drawn) == order.epoch_size
        assert set(drawn) <= everything
        assert len(everything) - order.epoch_size < order.streams


def test_what_an_epoch_leaves_out_is_another_sample_each_time() -> None:
    block_kept = kept_of(40, seed=3)
    order = order_of(block_kept)
    everything = {(block, sample) for block, kept in enumerate(block_kept) for sample in range(kept)}
    left_out = [everything - set(reference_epoch(block_kept, 0, epoch)) for epoch in range(20)]
    assert all(len(out) == order.samples - order.epoch_size for out in left_out)
    assert len(set().union(*left_out)) > len(left_out[0])


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
        straight.epoch_size - 1,
        straight.epoch_size,
        2 * straight.epoch_size + 1,
        10 * straight.epoch_size,
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
    orders = [reference_epoch(block_kept, seed, epoch) for seed in (0, 1, 2**63) for epoch in (0, 1, 2)]
    for number, one in enumerate(orders):
        for other in orders[:number]:
            assert sum(a == b for a, b in zip(one, other, strict=True)) < len(one) / 5
    order = order_of(block_kept, seed=2**63)
    assert sample_at(order, order.draw(0)) == orders[6][0]


@pytest.mark.parametrize("name", POOLS)
def test_windows_tile_the_streams(name: str) -> None:
    order = order_of(POOLS[name])
    for stream in range(order.streams):
        windows = list(order.windows(0, stream))
        position = 0
        for window in windows:
            size = sum(segment.last - segment.first for segment in window.segments)
            assert window.start == position
            assert sorted(window.shuffle.tolist()) == list(range(size))
            assert 1 <= len(window.segments) <= 2
            assert all(0 <= each.first < each.last <= POOLS[name][each.block] for each in window.segments)
            position += size
        assert position == order.stream_size
        for position in range(order.stream_size):
            later = list(order.windows(0, stream, position))
            assert as_values(later) == as_values([window for window in windows if ends_after(window, position)])


def ends_after(window: Window, position: int) -> bool:
    return window.start + len(window.shuffle) > position


def as_values(windows: list[Window]) -> list[object]:
    return [(window.start, window.segments, window.shuffle.tolist()) for window in windows]


def test_repeats_are_samples_of_their_own() -> None:
    """A sample that the subset names three times is three kept samples of its block, so three draws of an epoch."""
    order = order_of([3, 3])
    assert order.streams == 1
    drawn = Counter(sample_at(order, order.draw(number)) for number in range(order.epoch_size))
    assert set(drawn.values()) == {1}
    assert order.epoch_size == 6


@pytest.mark.parametrize("block_kept", [[], [0], [0, 0, 0]])
def test_a_plan_that_keeps_nothing_is_refused(block_kept: list[int]) -> None:
    with pytest.raises(ConfigError, match="matches no sample of this pool"):
        order_of(block_kept)


def test_the_order_of_a_seed_never_changes() -> None:
    """Checkpoints outlive releases: a change of this sequence would break every run that is resumed across it."""
    order = order_of([3, 1, 2, 2, 4])
    drawn = [sample_at(order, order.draw(number)) for number in range(12)]
    assert drawn == [(2, 1), (4, 2), (0, 2), (3, 1), (0, 0), (4, 3), (0, 1), (3, 0), (2, 0), (4, 1), (1, 0), (4, 0)]
