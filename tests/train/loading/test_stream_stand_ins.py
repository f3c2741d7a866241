"""Stand-ins of a stream: another one for each of 64 draws, whoever asks, also where all is lost for a while."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

import pytest

from datascaler.data.pool.samples import Sample
from datascaler.errors import BadInputError
from datascaler.train.loading.stream_stand_ins import RESERVE_SAMPLES, EpochDraws
from tests.data.tars import picture

GOOD = picture(0)
GROUP = 64


def stream(count: int, is_good: Callable[[int], bool]) -> Iterator[Sample]:
    for number in range(count):
        image = GOOD if is_good(number) else b"<html>403</html>"
        yield Sample(row=number, key="", offset=0, length=0, uid=(0, number), image=image)


def stand_ins(count: int, is_good: Callable[[int], bool], asked: Iterable[int] | None = None) -> dict[int, int]:
    """Draw -> the sample in its place, of the draws that are asked about (else all) and can't be used."""
    draws = EpochDraws(stream(count, is_good), seed=3, epoch=1)
    wanted = set(range(count) if asked is None else asked)
    found = {}
    number = 0
    while drawn := draws.next():
        assert drawn.sample.row == number
        if number in wanted and not is_good(number):
            drawn.usable = False
            found[number] = next(draws.stand_ins(number)).row
        number += 1
    assert number == count
    return found


@pytest.mark.parametrize(
    ("count", "is_good"),
    [
        (120, lambda number: number % 2 == 0),
        (120, lambda number: number >= 60),
        (3000, lambda number: number % 50 != 7),
        (4000, lambda number: not 1500 <= number < 3700),
        (4000, lambda number: number >= 900),
    ],
    ids=["every other", "the first half", "here and there", "a row of them", "the first of all"],
)
def test_each_of_a_group_has_another_one_whoever_asks(count: int, is_good: Callable[[int], bool]) -> None:
    found = stand_ins(count, is_good)
    assert len(found) == sum(not is_good(number) for number in range(count))
    assert all(is_good(number) for number in found.values())
    for first in range(0, count, GROUP):
        group = [found[number] for number in range(first, first + GROUP) if number in found]
        assert len(set(group)) == min(len(group), len({*found.values()}))
    for part in range(3):
        mine = stand_ins(count, is_good, range(part, count, 3))
        assert mine == {number: row for number, row in found.items() if number % 3 == part}


def test_what_is_lost_in_a_row_is_replaced_from_all_before_it() -> None:
    """Two shards' worth of draws, and no sample stands in much more often than the others."""
    found = stand_ins(8000, lambda number: not 4000 <= number < 6000)
    times = Counter(found.values())
    assert len(times) > 800
    assert max(times.values()) <= 8
    assert min(times) < 500 < 3500 < max(times)


def test_where_nothing_can_be_used_it_ends() -> None:
    draws = EpochDraws(stream(3000, lambda _: False), seed=0, epoch=0)
    draws.next()
    with pytest.raises(BadInputError, match=f"none of the {RESERVE_SAMPLES} samples that could stand in for draw 0"):
        next(draws.stand_ins(0))
