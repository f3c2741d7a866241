"""The promise of elastic training: the global batches are the same sets whatever reads them.

For worlds x loader workers that divide neither the streams nor the batch, over epochs, with repeats, corrupt samples, a
corrupt shard, and when a run goes on under another layout.
"""

import io
from collections import Counter

import pytest
from PIL import Image

from datascaler.data.plan import compile_plan as build_plan_module
from datascaler.data.read.order import Order
from tests.data.planned_pools import Pool, number_of, overwrite_unseen, seeded, tar_pool, uid_of_number
from tests.data.tars import members_of

SAMPLES, PER_SHARD = 66, 11
BATCH, STEPS = 19, 8
"""More than two epochs."""
BROKEN_IMAGES = (3, 14, 15, 40, 65)
LOST_SHARD = 2
WORLDS, WORKERS = (1, 2, 3, 4, 5, 8, 16), (0, 1, 3)

Batches = list[Counter[tuple[int, int, int]]]
"""By step: draw, sample and how many were tried before it."""


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Pool:
    folder = tmp_path_factory.mktemp("elastic")
    samples = [
        members_of(number) | ({"png": b"no image"} if number in BROKEN_IMAGES else {}) for number in range(SAMPLES)
    ]
    kept = [number for number in range(SAMPLES) if number % 5]
    uids = [uid_of_number(number) for number in [*kept, 1, 3, 24, 24, 24, 61]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build_plan_module, "PLAN_BLOCK_BYTES", 8_000)
        pool = tar_pool(folder, [samples[at : at + PER_SHARD] for at in range(0, SAMPLES, PER_SHARD)], uids)
    assert pool.plan.samples == len(uids) > 2 * BATCH
    overwrite_unseen(folder / "pool" / f"{LOST_SHARD}.tar", b"")
    return pool


def batches(pool: Pool, order: Order, world: int, workers: int, first_step: int = 0, steps: int = STEPS) -> Batches:
    """What the processes of all ranks make of the steps, each with a reader of its own."""
    found: Batches = [Counter() for _ in range(steps)]
    parts = world * max(1, workers)
    for part in range(parts):
        with pool.reader(order, end=(first_step + steps) * BATCH) as reader:
            for step in range(steps):
                draws = order.share((first_step + step) * BATCH, BATCH, part, parts)
                reader.start(draws)
                for draw in draws:
                    for tried, sample in enumerate(reader.candidates(draw)):
                        if decodes(bytes(sample.image)):
                            found[step][draw.number, number_of(sample), tried] += 1
                            break
    return found


def decodes(encoded: bytes) -> bool:
    try:
        Image.open(io.BytesIO(encoded)).load()
    except OSError:
        return False
    return True


@pytest.fixture(scope="module")
def one_process(pool: Pool) -> Batches:
    return batches(pool, pool.order(), world=1, workers=0)


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("world", WORLDS)
def test_every_layout_draws_the_same_batches(pool: Pool, one_process: Batches, world: int, workers: int) -> None:
    assert batches(pool, pool.order(), world, workers) == one_process


def test_a_run_that_goes_on_under_other_layouts_draws_the_same_batches(pool: Pool, one_process: Batches) -> None:
    random = seeded(0)
    for _ in range(6):
        step, found = 0, []
        while step < STEPS:
            steps = min(int(random.integers(1, 4)), STEPS - step)
            world, workers = int(random.choice(WORLDS)), int(random.choice(WORKERS))
            found += batches(pool, pool.order(), world, workers, step, steps)
            step += steps
        assert found == one_process


def test_an_epoch_holds_every_good_sample_as_often_as_it_is_kept(pool: Pool) -> None:
    """Stand-ins apart, and these only where a sample was lost."""
    order = pool.order()
    lost = {*BROKEN_IMAGES, *range(LOST_SHARD * PER_SHARD, (LOST_SHARD + 1) * PER_SHARD)}
    kept = Counter(number for number in range(SAMPLES) if number % 5) + Counter([1, 3, 24, 24, 24, 61])
    with pool.reader(order, end=2 * order.samples) as reader:
        for epoch in range(2):
            own: Counter[int] = Counter()
            stand_ins = 0
            for number in range(epoch * order.samples, (epoch + 1) * order.samples):
                first = next(reader.candidates(order.draw(number)))
                if decodes(bytes(first.image)):
                    own[number_of(first)] += 1
                else:
                    stand_ins += 1
            assert own == Counter({number: times for number, times in kept.items() if number not in lost})
            assert stand_ins == sum(times for number, times in kept.items() if number in lost)
