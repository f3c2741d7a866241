"""The faster of two ways is used, and the slower one tried seldom enough."""

import pytest

from datascaler.data.read.local_block import FasterWay

WHOLE, ALONE = range(2)
SIZE = 4 << 20


def used(ways: FasterWay, seconds: tuple[float, float], blocks: int) -> list[int]:
    """The ways of so many blocks, of which each takes (whole, alone) seconds."""
    found = []
    for _ in range(blocks):
        way = ways.next(SIZE)
        ways.took(way, SIZE, seconds[way])
        found.append(way)
    return found


def test_each_way_is_tried_once_to_begin_with() -> None:
    assert used(FasterWay(), (0.001, 0.001), 2) == [WHOLE, ALONE]


@pytest.mark.parametrize(
    ("seconds", "faster"), [((0.002, 0.001), ALONE), ((0.001, 0.1), WHOLE), ((0.002, 0.003), ALONE)]
)
def test_the_faster_way_is_used_and_the_other_one_costs_a_twentieth(seconds: tuple[float, float], faster: int) -> None:
    ways = used(FasterWay(), seconds, 5_000)[2:]
    slower = 1 - faster
    assert 0 < ways.count(slower) * seconds[slower] <= 0.051 * ways.count(faster) * seconds[faster]


def test_files_that_come_into_the_cache_change_the_way() -> None:
    ways = FasterWay()
    assert used(ways, (0.01, 0.1), 50)[2:].count(WHOLE) == 48
    later = used(ways, (0.001, 0.0005), 3_000)
    assert later[-100:].count(ALONE) > 95


def test_one_slow_time_changes_nothing() -> None:
    ways = FasterWay()
    used(ways, (0.002, 0.001), 20)
    ways.took(ALONE, SIZE, 1.0)
    assert used(ways, (0.002, 0.001), 20).count(WHOLE) == 1
