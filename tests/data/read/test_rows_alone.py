"""Samples that are read when they are asked for, against the same samples read with their blocks."""

import random
from pathlib import Path

import pytest

from datascaler.data.plan.plan import Plan, match_shards
from datascaler.data.pool.samples import OK, Sample
from datascaler.data.pool.shards import Shard
from datascaler.data.read.order import Order
from datascaler.data.read.places import Places
from datascaler.data.read.reader import Reader
from tests.data.damaged_pools import damaged_pool
from tests.data.random_pools import random_pool
from tests.data.read.alone import let_rot, planned, read_alone

STREAMS = 3


@pytest.fixture(autouse=True)
def _alone_where_it_can_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read_alone(tmp_path, monkeypatch)


class Pass:
    """An epoch, draw by draw."""

    def __init__(self, folder: Path, plan: Plan, shards: list[Shard], *, has_places: bool = True) -> None:
        self._order = Order(plan.arrays["block_kept"], 0, STREAMS, plan.copies)
        self._places = Places.of(plan, folder / "x.plan", shards) if has_places else None
        self._reader = Reader(plan, match_shards(plan, shards), self._order, places=self._places)

    def samples(self, first: int = 0, last: int | None = None) -> list[Sample]:
        numbers = range(first, self._order.samples if last is None else last)
        return [next(self._reader.candidates(self._order.draw(number))) for number in numbers]

    def close(self) -> None:
        self._reader.close()


@pytest.mark.parametrize("kept", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_they_are_those_of_their_blocks(tmp_path: Path, seed: int, kept: float) -> None:
    pool = random_pool(tmp_path / "pool", seed)
    uids = sorted({uid for rows in pool.rows for uid in rows if uid})
    chosen = random.Random(seed).sample(uids, max(1, round(kept * len(uids))))
    plan = planned(tmp_path, pool.shards, chosen + chosen[: len(chosen) // 3])
    eager = Pass(tmp_path, plan, pool.shards, has_places=False)
    expected = eager.samples()
    eager.close()
    for _ in range(2):  # places are found, and used
        lazy = Pass(tmp_path, plan, pool.shards)
        assert lazy.samples() == expected
        lazy.close()


@pytest.mark.parametrize("seed", range(3))
def test_of_damaged_shards_too(tmp_path: Path, seed: int) -> None:
    pool = damaged_pool(tmp_path / "pool", seed, 16)
    plan = planned(tmp_path, pool.shards, pool.subset(random.Random(seed), 0.6))
    eager = Pass(tmp_path, plan, pool.shards, has_places=False)
    expected = eager.samples()
    eager.close()
    for _ in range(2):
        lazy = Pass(tmp_path, plan, pool.shards)
        assert lazy.samples() == expected
        lazy.close()


def test_what_rots_between_two_draws_of_a_window_is_lost_and_never_another_sample(tmp_path: Path) -> None:
    pool = damaged_pool(tmp_path / "pool", 1, 16, kinds=["sound"])
    plan = planned(tmp_path, pool.shards, pool.subset(random.Random(1), 0.6))
    for _ in range(2):
        earlier = Pass(tmp_path, plan, pool.shards)
        before = earlier.samples()
        earlier.close()
    reader = Pass(tmp_path, plan, pool.shards)
    half = len(before) // 2
    assert reader.samples(0, half) == before[:half]
    let_rot(pool.shards)
    lost = 0
    for was, now in zip(before[half:], reader.samples(half), strict=True):
        lost += now.status != OK
        assert now.row == was.row
        assert now.status != OK or (now.key, now.offset) == (was.key, was.offset)
    assert lost > 0
    reader.close()


def test_a_shard_that_goes_away_between_two_draws_loses_its_samples_alone(tmp_path: Path) -> None:
    pool = damaged_pool(tmp_path / "pool", 1, 16, kinds=["sound"])
    plan = planned(tmp_path, pool.shards, pool.subset(random.Random(1), 0.6))
    earlier = Pass(tmp_path, plan, pool.shards)
    before = earlier.samples()
    earlier.close()
    reader = Pass(tmp_path, plan, pool.shards)
    half = len(before) // 2
    reader.samples(0, half)
    Path(pool.shards[0].url).unlink()
    after = reader.samples(half)
    assert all(now == was or now.status != OK for was, now in zip(before[half:], after, strict=True))
    assert 0 < sum(now.status != OK for now in after) < len(after)
    reader.close()
