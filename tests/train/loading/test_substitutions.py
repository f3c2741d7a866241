"""How many replaced draws are too many: when it is certain, what is said, and that a run stops with what it has."""

import logging
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from datascaler import PlanDataset, storage
from datascaler.data.plan.plan_file import write_plan
from datascaler.data.runs.run_folder import finished, run_url
from datascaler.errors import BadInputError, ConfigError
from datascaler.models.run_weights import newest_checkpoint
from datascaler.spec.train import TrainSpec
from datascaler.train.loading.substitutions import Replaced
from datascaler.train.train_clip import train_clip
from tests.data.planned_pools import planned
from tests.data.tars import members_of, shard_of
from tests.train.planned_data import BROKEN, WANTED, planned_pool
from tests.train.runs import BATCH, STEPS, make_pool_with_faults, metrics_of, tiny_spec


def test_a_share_is_taken_of_the_draws_that_are_judged_at_least() -> None:
    """5% of 1,000 are 50, however early they come; later 5% of the draws."""
    replaced = Replaced(0.05, 1000)
    assert replaced.excess(50, 50, warns=True) is None
    assert replaced.excess(51, 51, warns=True)
    assert replaced.excess(99, 2000, warns=True) is None
    assert replaced.excess(100, 2000, warns=True) is None
    assert replaced.excess(101, 2000, warns=True)
    assert Replaced(1.0, 10).excess(10, 10, warns=True) is None
    assert Replaced(0.0, 10).excess(0, 10, warns=True) is None
    assert Replaced(0.0, 10).excess(1, 1, warns=True)


def test_one_warning_at_a_hundredth_and_the_commonest_reason(caplog: pytest.LogCaptureFixture) -> None:
    replaced = Replaced(0.05, 1000)
    replaced.note(["the shard ends at byte 512", "no image", "the shard ends at byte 1024", *["odd"] * 1])
    with caplog.at_level(logging.WARNING):
        for count in (10, 11, 12):
            replaced.excess(count, 900, warns=True)
            replaced.excess(count, 900, warns=False)
    assert caplog.messages == ["11 of 900 draws (1.2%) were replaced by other samples: the shard ends at byte 512"]
    assert replaced.excess(60, 1100, warns=True) == (
        "60 of 1,100 draws (5.5%) were replaced by other samples, more than --max-substituted 5%: the shard ends at "
        "byte 512; look at the pool with `datascaler pool check`, or raise the limit to go on"
    )


# ---- in a run --------------------------------------------------------------------------------------------------

DRAWS = STEPS * BATCH


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A quarter of its images does not decode: 12 of 48, 24 of the 96 draws of a run."""
    return make_pool_with_faults(str(tmp_path_factory.mktemp("faults")), lambda number: number % 4 == 1)


def spec_of(pool: str, folder: Path, **changes: Any) -> TrainSpec:
    return tiny_spec(pool, str(folder), **changes)


@pytest.mark.parametrize("no_plan", [False, True])
def test_a_run_stops_with_a_checkpoint_and_goes_on_when_the_limit_is_raised(
    pool: str, tmp_path: Path, no_plan: bool, caplog: pytest.LogCaptureFixture
) -> None:
    spec = spec_of(pool, tmp_path, no_plan=no_plan, num_checkpoints=1, max_substituted=0.1)
    for reason in (": not an image format that Pillow knows", ""):  # an earlier start's are not kept
        message = rf"^\d+ of \d+ draws .* more than --max-substituted 10%{reason}; look .*`datascaler pool check`"
        with pytest.raises(BadInputError, match=message) as caught:
            train_clip(spec)
        stopped_at = newest_checkpoint(run_url(spec))
        assert stopped_at is not None
        assert finished(run_url(spec)) is None
    seen = int(str(caught.value).partition(" of ")[2].partition(" ")[0])
    assert 0 < seen < DRAWS
    assert str(stopped_at).endswith(f"step_{seen // BATCH:08d}.pt")
    assert sum("were replaced" in message for message in caplog.messages) == 1
    summary = train_clip(replace(spec, max_substituted=0.3))
    assert summary is not None
    assert (summary.samples_seen, summary.substituted) == (DRAWS, 24)
    assert metrics_of(summary.run)[-1]["substituted"] == 24


def test_what_the_last_step_brings_over_the_limit_is_not_finished(pool: str, tmp_path: Path) -> None:
    spec = spec_of(pool, tmp_path, max_substituted=0.2499, batch_size=DRAWS, train_num_samples=DRAWS)
    for _ in range(2):
        with pytest.raises(BadInputError, match=f"^24 of {DRAWS} draws"):
            train_clip(spec)
        assert finished(run_url(spec)) is None
    summary = train_clip(replace(spec, max_substituted=0.25))
    assert summary is not None
    assert summary.substituted == 24


# ---- in a loop of somebody else's ------------------------------------------------------------------------------

LOST = sum(WANTED[number] for number in BROKEN)


@pytest.mark.parametrize("workers", [None, 0, pytest.param(2, marks=pytest.mark.slow)])
def test_a_dataset_counts_and_stops(tmp_path: Path, workers: int | None) -> None:
    plan, pool = planned_pool(str(tmp_path), broken=True)
    limit = LOST / WANTED.total()
    for most, stops in ((limit, False), (limit - 0.001, True)):
        dataset = PlanDataset(plan, pool, global_batch_size=13, image_side=8, drop_last=False, max_substituted=most)
        batches = dataset if workers is None else dataset.loader(workers)
        if stops:
            with pytest.raises(BadInputError, match=r"draws .* more than max_substituted .*: not an image format"):
                list(batches)
        else:
            list(batches)
            assert dataset.substituted == LOST
    with pytest.raises(ConfigError, match=r"max_substituted must be at least 0 and at most 1, got 1\.5"):
        PlanDataset(plan, pool, global_batch_size=13, max_substituted=1.5)


def test_half_a_pool_of_error_pages(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """By default a dataset only warns. Each good sample stands in once, and is itself drawn once."""
    rows = [members_of(number) | ({"png": b"<html>403</html>"} if number >= 40 else {}) for number in range(80)]
    for shard in range(2):
        storage.publish_bytes(f"{tmp_path}/pool/{shard}.tar", shard_of(rows[shard * 40 : shard * 40 + 40]))
    write_plan(f"{tmp_path}/all.plan", planned(f"{tmp_path}/pool", None, f"{tmp_path}/index").plan)
    dataset = PlanDataset(f"{tmp_path}/all.plan", f"{tmp_path}/pool", global_batch_size=8, image_side=8)
    times = Counter(caption for _, captions in dataset for caption in captions)
    assert times == Counter({f"caption {number}": 2 for number in range(40)})
    assert dataset.substituted == 40
    (message,) = caplog.messages
    assert message.endswith("were replaced by other samples: not an image format that Pillow knows")
