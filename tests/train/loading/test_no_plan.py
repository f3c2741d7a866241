"""Training without a plan: the samples of an epoch are those of a plan, and the batches those of any layout."""

import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from datascaler import storage
from datascaler.data.pool.uids import join_uid, sort_order, uid_array, uid_of
from datascaler.data.subset.subset import write_subset
from datascaler.errors import BadInputError, ConfigError, StoppedError
from datascaler.models.tokenize import tokenizer_for
from datascaler.spec.train import TrainSpec
from datascaler.train import step
from datascaler.train import train_clip as run_module
from datascaler.train.distributed import World
from datascaler.train.loading import stream_source as unplanned
from datascaler.train.loading.batches import Batch, BatchSource, iterate_batches
from datascaler.train.loading.stream_source import UnplannedFeed
from datascaler.train.open_data import opened_data
from datascaler.train.train_clip import train_clip
from tests.data.tars import members_of, shard_of
from tests.train.runs import ARCH, BATCH, metrics_of, tiny_spec

SAMPLES, PER_SHARD = 60, 15
TWICE_IN_THE_POOL = {50: 4, 51: 49, 20: 19}
"""A sample -> the earlier one whose uid it has: in another shard, and in the same one."""
WANTED = [*(number for number in range(SAMPLES) if number % 6 not in (0, 5)), 4, 4, 9, 27, 27, 27, 49]
"""The samples whose uids the subset names, as often."""
NOT_OK = {7: {"txt": b"\xff"}, 31: {"png": b""}, 44: {"json": b"{"}}
BROKEN = (8, 21, 22, 56)
SEEN = Counter(WANTED) - Counter(dict.fromkeys((*NOT_OK, *TWICE_IN_THE_POOL), 99))
"""What an epoch holds, as often: the first rows of their uids that are in good state."""


def row_of(number: int, *, broken: bool) -> dict[str, bytes]:
    row = members_of(number, uid=uid(TWICE_IN_THE_POOL.get(number, number))) | NOT_OK.get(number, {})
    return row | ({"png": b"no image"} if broken and number in BROKEN else {})


def uid(number: int) -> str:
    return uid_of(f"caption {number}", str(number))


def make_pool(folder: str, *, broken: bool) -> str:
    for first in range(0, SAMPLES, PER_SHARD):
        shard = shard_of(row_of(number, broken=broken) for number in range(first, first + PER_SHARD))
        storage.publish_bytes(f"{folder}/{first // PER_SHARD:08d}.tar", shard)
    return folder


@pytest.fixture(scope="module")
def subset(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An uid that is not in the pool is in it too."""
    uids = uid_array([*map(uid, WANTED), uid(SAMPLES + 1)])
    (url,) = write_subset(f"{tmp_path_factory.mktemp('subset')}/wanted", uids[sort_order(uids)], {}, ["npy"])
    return url


@pytest.fixture(scope="module")
def good_pool(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_pool(str(tmp_path_factory.mktemp("good")), broken=False)


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Some of its images do not decode."""
    return make_pool(str(tmp_path_factory.mktemp("broken")), broken=True)


def unplanned_spec(pool: str, output_dir: Path | str, subset: str | None, **changes: Any) -> TrainSpec:
    options = {"subset_file": subset, "no_plan": True, "max_substituted": 1.0} | changes
    return tiny_spec(pool, str(output_dir), **options)


def one_process() -> World:
    return World(rank=0, size=1, device=torch.device("cpu"))


# ---- the same samples as with a plan ---------------------------------------------------------------------------


@pytest.mark.parametrize("whole_pool", [False, True])
def test_training_sees_the_same_samples_in_an_epoch_with_a_plan_and_without(
    whole_pool: bool, good_pool: str, subset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unplanned, "SHUFFLE_SAMPLES", 11)
    epoch = Counter(set(range(SAMPLES)) - set(NOT_OK)) if whole_pool else SEEN
    size, epochs = epoch.total(), 3
    batch = next(divisor for divisor in (4, 3, 1) if size % divisor == 0)
    tokens = tokenizer_for(ARCH)([f"caption {number}" for number in range(SAMPLES)]).tolist()
    # A sample is known by its uid, and so are those that have the uid of an earlier one, unless all are wanted.
    known_as = {} if whole_pool else TWICE_IN_THE_POOL
    numbers = {tuple(row): known_as.get(number, number) for number, row in enumerate(tokens)}
    seen: dict[bool, list[Counter[int]]] = {}
    for no_plan in (False, True):
        drawn: list[int] = []

        def watched(source: BatchSource, num_workers: int, drawn: list[int] = drawn) -> Iterator[Batch]:
            for each in iterate_batches(source, num_workers):
                drawn.extend(numbers[tuple(row)] for row in each.tokens.tolist())
                yield each

        monkeypatch.setattr(run_module, "iterate_batches", watched)
        spec = unplanned_spec(
            *(good_pool, tmp_path / str(no_plan), None if whole_pool else subset),
            train_num_samples=epochs * size,
            batch_size=batch,
            num_checkpoints=1,
        )
        train_clip(replace(spec, no_plan=no_plan))
        seen[no_plan] = [Counter(drawn[at : at + size]) for at in range(0, len(drawn), size)]
    assert seen[True] == seen[False] == [epoch] * epochs


def test_every_epoch_has_an_order_of_its_own(good_pool: str, subset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unplanned, "SHUFFLE_SAMPLES", 7)
    size = SEEN.total()
    orders = []
    for seed in (0, 1):
        drawn = draws(good_pool, subset, range(2 * size), seed)
        orders += [drawn[:size], drawn[size:]]
        assert draws(good_pool, subset, range(2 * size), seed) == drawn
    for number, one in enumerate(orders):
        assert sorted(one) == sorted(orders[0])
        for other in orders[:number]:
            assert sum(a == b for a, b in zip(one, other, strict=True)) < size / 4


def draws(pool: str, subset: str | None, numbers: Sequence[int], seed: int = 0) -> list[str]:
    """The uid of each draw, drawn by a feed of its own."""
    with opened_data(unplanned_spec(pool, "/nowhere", subset), one_process()) as data:
        feed = data.source.open(seed=seed, batch_size=1, end=0)
        assert isinstance(feed, UnplannedFeed)
        return [join_uid(*next(found).uid) for number in numbers for _, found in feed.part(number, 1, 0, 1)]


# ---- any layout, and going on ----------------------------------------------------------------------------------


def batches(pool: str, subset: str, world: int, workers: int, first: int = 0, steps: int = 9) -> list[Counter[Any]]:
    """Of each step, its samples with their pixels, and how many were substituted."""
    found: list[Counter[Any]] = [Counter() for _ in range(steps)]
    with opened_data(unplanned_spec(pool, "/nowhere", subset), one_process()) as data:
        for rank in range(world):
            source = BatchSource(
                samples=data.source,
                arch=ARCH,
                image_side=16,
                decode="bicubic",
                storage_client="fsspec",
                seed=3,
                batch_size=13,
                first_draw=first,
                steps=steps,
                rank=rank,
                world=world,
            )
            for step_found, batch in zip(found, iterate_batches(source, workers), strict=True):
                for image, tokens in zip(batch.images, batch.tokens, strict=True):
                    step_found[image.numpy().tobytes(), tuple(tokens.tolist())] += 1
                step_found["substituted"] += batch.substituted
    return found


def test_the_batches_are_the_same_for_every_layout_and_after_every_resume(pool: str, subset: str) -> None:
    """13 samples a step, more than two epochs; broken images stand in several batches."""
    alone = batches(pool, subset, 1, 0)
    assert all(step_found.total() - step_found["substituted"] == 13 for step_found in alone)
    assert sum(step_found["substituted"] for step_found in alone) > len(BROKEN)
    assert 2 * SEEN.total() < 9 * 13
    for world, workers in ((1, 2), (2, 0), (2, 2), (3, 0)):
        assert batches(pool, subset, world, workers) == alone
    for first_step in range(1, 9):
        assert batches(pool, subset, 2, 0, 13 * first_step, 9 - first_step) == alone[first_step:]


def test_a_run_goes_on_where_it_was_and_says_what_that_costs(
    pool: str, subset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, cut = (unplanned_spec(pool, tmp_path / name, subset) for name in ("whole", "cut"))
    summary = train_clip(whole)
    asked = iter([False, False, True])
    with monkeypatch.context() as patch:
        patch.setattr(step, "stop_requested", lambda: next(asked))
        with pytest.raises(StoppedError, match=f"at {3 * BATCH} samples"):
            train_clip(cut)
    said: list[str] = []
    resumed = train_clip(cut, say=said.append)
    assert f"{len(WANTED) + 1} uids wanted; without a plan it is not known how many this pool has" in said
    assert "data      the whole pool as a stream, in every process, for lack of a plan" in said
    at = said.index(f"resuming  at {3 * BATCH} samples")
    assert said[at + 1] == "          what was read of the pool up to there is read again, and not decoded"
    assert summary is not None
    assert resumed is not None
    assert resumed.substituted == summary.substituted > 0
    whole_url, cut_url = summary.run, resumed.run
    assert [row["loss"] for row in metrics_of(cut_url)] == [row["loss"] for row in metrics_of(whole_url)]


def test_object_storage(s3_url: str, subset: str, good_pool: str) -> None:
    copied = make_pool(f"{s3_url}/pool", broken=False)
    numbers = range(SEEN.total())
    assert draws(copied, subset, numbers) == draws(good_pool, subset, numbers)


# ---- what is refused -------------------------------------------------------------------------------------------


def test_several_nodes_are_refused(good_pool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    world = World(rank=0, size=4, device=torch.device("cpu"))
    with (
        pytest.raises(ConfigError, match=r"one node, and this run has several: drop --no-plan"),
        opened_data(unplanned_spec(good_pool, tmp_path, None), world),
    ):
        pass


def test_a_subset_of_another_pool_is_an_error_after_one_pass(good_pool: str, tmp_path: Path) -> None:
    (url,) = write_subset(f"{tmp_path}/other", uid_array([uid(1000)]), {}, ["npy"])
    with pytest.raises(ConfigError, match="the subset matches no sample of this pool: nothing to train on"):
        train_clip(unplanned_spec(good_pool, tmp_path / "out", url))


def test_a_pool_without_one_good_image_is_an_error_of_one_line(tmp_path: Path) -> None:
    shard = shard_of(members_of(number) | {"png": b"no image"} for number in range(100))
    storage.publish_bytes(f"{tmp_path}/pool/0.tar", shard)
    with pytest.raises(BadInputError, match=r"^none of the 100 samples that could stand in for draw 0 can be decoded$"):
        train_clip(unplanned_spec(f"{tmp_path}/pool", tmp_path / "out", None))


def test_a_run_with_a_plan_does_not_go_on_without(good_pool: str, tmp_path: Path) -> None:
    spec = unplanned_spec(good_pool, tmp_path, None, train_num_samples=BATCH)
    train_clip(spec)
    with pytest.raises(ConfigError, match="holds another run: no_plan was True and is now False"):
        train_clip(replace(spec, no_plan=False))


def test_the_pictures_of_these_pools_differ() -> None:
    """Or else the batches of two layouts could be equal though their samples are not."""
    pixels = {np.asarray(Image.open(io.BytesIO(members_of(number)["png"]))).tobytes() for number in range(SAMPLES)}
    assert len(pixels) > SAMPLES / 3
