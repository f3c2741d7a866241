"""Copies of repeated samples: in parts of their own, and no oftener in one batch than if all draws were shuffled."""

from collections import Counter
from collections.abc import Sequence
from itertools import chain

import numpy as np
import pytest
from numpy.typing import NDArray

from datascaler.data.plan.copy_parts import CopyParts, by_copy, copy_parts
from datascaler.data.read.order import Order, streams_for
from datascaler.data.select.sampler.sample_repeats import sample_repeats
from datascaler.spec.sampler import Sampler

Counts = NDArray[np.int64]


class Repeated:
    """Blocks of equal size, and how often each of their samples is kept."""

    def __init__(self, counts: Counts, block_rows: int) -> None:
        self.counts, self.block_rows = counts, block_rows
        self.blocks = np.arange(len(counts)) // block_rows
        self.kept = np.bincount(self.blocks, weights=counts).astype(np.uint32)

    def copies(self, most_parts: int = 1 << 25) -> CopyParts:
        repeated = np.flatnonzero(self.counts > 1)
        return copy_parts(self.kept, self.blocks[repeated], self.counts[repeated].astype(np.uint32), most_parts)

    def draws_of(self, block: int) -> NDArray[np.int64]:
        rows = np.arange(block * self.block_rows, (block + 1) * self.block_rows)
        return by_copy(np.repeat(rows, self.counts[rows]))

    def order(self, batch: int, seed: int = 0) -> Order:
        streams = streams_for(len(self.kept), len(self.kept) * 4e6, batch)
        return Order(self.kept, seed, streams, self.copies())

    def epoch(self, order: Order, epoch: int, first: int, last: int) -> NDArray[np.int64]:
        """The samples of the epoch's draws [first, last)."""
        drawn = np.empty(last - first, np.int64)
        numbers = np.arange(first, last)
        for stream in range(order.streams):
            mine = np.flatnonzero(numbers % order.streams == stream)
            positions = numbers[mine] // order.streams
            if not len(mine):
                continue
            for window in order.windows(epoch, stream, int(positions[0])):
                inside = (window.start <= positions) & (positions < window.end)
                if not inside.any():
                    break
                at = window.first + window.shuffle[positions[inside] - window.start]
                drawn[mine[inside]] = self.draws_of(window.block)[at]
        return drawn


def copies_in(batch: NDArray[np.int64]) -> int:
    return len(batch) - len(np.unique(batch))


def expected_copies(counts: Counts, batch: int) -> float:
    """In a batch of a uniform shuffle: of a sample with c copies among n draws, max(0, as many as are in it - 1).

    The number in it is hypergeometric; its chance to be 0 is the product of (n - batch - i) / (n - i) for i < c.
    """
    draws = int(counts.sum())
    times, samples = np.unique(counts[counts > 0], return_counts=True)
    expected = 0.0
    for copies, number in zip(times.tolist(), samples.tolist(), strict=True):
        none = np.prod([max(0, draws - batch - each) / (draws - each) for each in range(copies)])
        expected += number * (copies * batch / draws - (1 - none))
    return expected


# ---- the parts -------------------------------------------------------------------------------------------------


def naive_parts(blocks: Sequence[int], counts: Sequence[int], shared: int) -> dict[int, list[list[int]]]:
    """Of each block its copies, by part: the samples of copies 2.., `shared` of them to a part."""
    found: dict[int, list[list[int]]] = {}
    for block in sorted(set(blocks)):
        left = Counter({n: count - 1 for n, count in enumerate(counts) if blocks[n] == block and count > 1})
        layers = []
        while left := +left:
            layers.append(sorted(left))
            left -= Counter(layers[-1])
        found[block] = [list(chain(*layers[at : at + shared])) for at in range(0, len(layers), shared)]
    return found


@pytest.mark.parametrize(("most_parts", "shared"), [(1 << 25, 1), (60, 2), (33, 4), (1, 16)])
def test_parts_hold_each_sample_once(most_parts: int, shared: int) -> None:
    generator = np.random.default_rng(5)
    counts = np.where(generator.random(90) < 0.4, generator.integers(2, 12, 90), generator.integers(0, 2, 90))
    repeated = Repeated(counts, 9)
    parts = repeated.copies(most_parts)
    expected = naive_parts(repeated.blocks.tolist(), counts.tolist(), shared)
    found: dict[int, list[list[int]]] = {block: [] for block in expected}
    for block, first, size in zip(*(each.tolist() for each in parts), strict=True):
        found[block].append(repeated.draws_of(block)[first : first + size].tolist())
    assert found == expected
    for block in range(10):
        once = repeated.draws_of(block)[: np.count_nonzero(counts[repeated.blocks == block])]
        assert len(set(once.tolist())) == len(once)


def test_a_sample_that_is_kept_a_hundred_thousand_times() -> None:
    counts = np.array([1, 100_000, 2, 0])
    parts = Repeated(counts, 2).copies()
    assert parts.size.tolist() == [1] * 100_000
    assert set(parts.block[:99_999].tolist()) == {0}
    assert (parts.block[-1], parts.first[-1]) == (1, 1)
    assert len(Repeated(counts, 2).copies(1000).size) <= 1001


def test_without_repeats_the_order_is_that_of_whole_blocks() -> None:
    kept = np.array([3, 0, 4, 2, 5], np.uint32)
    none = copy_parts(kept, np.empty(0, np.int64), np.empty(0, np.uint32))
    plain, empty = Order(kept, 7, 2), Order(kept, 7, 2, none)
    for stream in range(2):
        for one, other in zip(plain.windows(1, stream), empty.windows(1, stream), strict=True):
            assert (one.start, one.block, one.first, one.last) == (other.start, other.block, other.first, other.last)
            assert one.shuffle.tolist() == other.shuffle.tolist()


# ---- in a batch ------------------------------------------------------------------------------------------------

SOFT = Sampler(draws=400_000, batch=40_000, penalty=0.5)
HARD = Sampler(draws=400_000, batch=40_000, max_repeats=4)


@pytest.mark.parametrize("sampler", [SOFT, HARD], ids=["soft", "hard"])
def test_copies_in_a_batch_of_4096_are_those_of_a_shuffle(sampler: Sampler) -> None:
    """20,000 blocks; 16 batches of an epoch, spread over it."""
    scores = np.random.default_rng(0).normal(0, 2, 20_000 * 25).astype(np.float32)
    repeated = Repeated(sample_repeats(scores, sampler), 25)
    order = repeated.order(4096)
    assert (len(repeated.kept), order.streams) == (20_000, 256)
    starts = np.linspace(0, order.samples - 4096, 16).astype(int).tolist()
    found = [copies_in(repeated.epoch(order, 0, start, start + 4096)) for start in starts]
    uniform = expected_copies(repeated.counts, 4096)
    assert uniform > 10
    assert 0.7 * uniform < np.mean(found) < 1.5 * uniform
    assert max(found) < 3 * uniform


@pytest.mark.parametrize(("blocks", "batch"), [(1, 16), (1, 64), (2, 64), (13, 64), (13, 256), (40, 64), (40, 1024)])
def test_copies_in_the_batches_of_a_small_pool(blocks: int, batch: int) -> None:
    """One sample in ten is kept five times; the mean over epochs, with few windows and few streams."""
    generator = np.random.default_rng(3)
    counts = np.ones(blocks * 130, np.int64)
    counts[generator.choice(len(counts), len(counts) // 10, replace=False)] = 5
    repeated = Repeated(counts, 130)
    order = repeated.order(batch, seed=1)
    found = []
    for epoch in range(max(4, 120 // blocks)):
        drawn = repeated.epoch(order, epoch, 0, order.samples)
        assert np.bincount(drawn).tolist() == counts.tolist()
        found += [copies_in(drawn[at : at + batch]) for at in range(0, len(drawn) - batch + 1, batch)]
    assert np.mean(found) < 1.5 * expected_copies(counts, batch)


def test_the_expectation_is_that_of_shuffles() -> None:
    generator = np.random.default_rng(0)
    counts = generator.integers(0, 5, 300)
    drawn = np.repeat(np.arange(300), counts)
    found = [copies_in(generator.permutation(drawn)[:80]) for _ in range(3000)]
    assert np.mean(found) == pytest.approx(expected_copies(counts, 80), rel=0.03)
