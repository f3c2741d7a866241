"""PlanDataset: exact epochs, the same batches whoever reads them, and where it stands."""

import io
import pickle
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader

from datascaler import PlanDataset
from datascaler.data.plan.plan import match_shards
from datascaler.data.plan.plan_file import map_plan
from datascaler.data.pool.images import decode_rgb
from datascaler.data.pool.shards import find_shards
from datascaler.errors import ConfigError
from datascaler.models.tokenize import tokenizer_for
from datascaler.train.loading.batches import BatchSource, iterate_batches
from datascaler.train.loading.plan_source import Planned
from tests.data.tars import members_of
from tests.train.planned_data import BROKEN, WANTED, caption_counts, local_pool, planned_pool
from tests.train.runs import ARCH

BATCH = 13
FULL, REST = divmod(WANTED.total(), BATCH)

Batches = list[Counter[Any]]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    return local_pool(tmp_path_factory.mktemp("dataset"))


def open_dataset(data: tuple[str, str], **options: Any) -> PlanDataset:
    return PlanDataset(*data, **{"global_batch_size": BATCH, "image_side": 8, "seed": 4} | options)


def sets_of(batches: Any) -> Batches:
    """Captions and pixels of each batch."""
    return [
        Counter((caption, image.numpy().tobytes()) for caption, image in zip(texts, images, strict=True))
        for images, texts in batches
    ]


def added(parts: list[Batches]) -> Batches:
    return [sum(batch, Counter()) for batch in zip(*parts, strict=True)]


def captions_of(batches: Any) -> Counter[str]:
    return Counter(caption for _, texts in batches for caption in texts)


# ---- epochs ----------------------------------------------------------------------------------------------------


def test_an_epoch_is_what_is_kept_as_often_as_it_is_kept(data: tuple[str, str]) -> None:
    dataset = open_dataset(data, drop_last=False)
    assert (dataset.num_batches, dataset.num_samples) == (FULL + 1, WANTED.total())
    for epoch in range(3):
        assert (dataset.epoch, dataset.step) == (epoch, 0)
        batches = list(dataset)
        assert [len(texts) for _, texts in batches] == [BATCH] * FULL + [REST]
        assert captions_of(batches) == caption_counts(WANTED)


def test_what_does_not_fill_a_batch_is_left_out_and_is_another_each_time(data: tuple[str, str]) -> None:
    dataset = open_dataset(data)
    assert (dataset.num_batches, dataset.num_samples) == (FULL, FULL * BATCH)
    left_out = []
    for _ in range(4):
        batches = list(dataset)
        assert [len(texts) for _, texts in batches] == [BATCH] * FULL
        left_out.append(caption_counts(WANTED) - captions_of(batches))
        assert left_out[-1].total() == REST
    assert len({frozenset(each.items()) for each in left_out}) > 1


def test_the_batches_are_those_of_datascaler_train(data: tuple[str, str]) -> None:
    plan, pool = Path(data[0]), data[1]
    source = BatchSource(
        samples=Planned(plan_path=plan, shards=match_shards(map_plan(plan), find_shards(pool))),
        arch=ARCH,
        image_side=8,
        decode="bicubic",
        storage_client="fsspec",
        seed=4,
        batch_size=BATCH,
        first_draw=0,
        steps=FULL,
        rank=1,
        world=2,
    )
    dataset = open_dataset(data, tokenizer=tokenizer_for(ARCH), rank=1, world_size=2)
    for (images, texts), batch in zip(dataset, iterate_batches(source, 0), strict=True):
        assert torch.equal(images, batch.images)
        assert torch.equal(texts, batch.tokens)


def test_bad_images_are_replaced_by_others(tmp_path: Path) -> None:
    dataset = open_dataset(local_pool(tmp_path, broken=True), drop_last=False)
    seen, expected = captions_of(dataset), caption_counts(WANTED)
    lost = {f"caption {number}" for number in BROKEN}
    assert seen.total() == WANTED.total()
    assert expected - seen == Counter({caption: expected[caption] for caption in lost})


# ---- layouts ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def alone(data: tuple[str, str]) -> Batches:
    dataset = open_dataset(data, drop_last=False)
    return sets_of(dataset) + sets_of(dataset)


@pytest.mark.parametrize(("world", "workers"), [(1, 2), (2, 0), (2, 2), (3, 0), (16, 0)])
def test_every_layout_has_the_same_batches(data: tuple[str, str], alone: Batches, world: int, workers: int) -> None:
    """More processes than the last batch has samples, too: there are as many steps in all of them."""
    parts = []
    for rank in range(world):
        loader = open_dataset(data, drop_last=False, rank=rank, world_size=world).loader(workers)
        parts.append(sets_of(loader) + (sets_of(loader) if workers == 0 else []))
    assert added(parts) == alone[: len(parts[0])]
    sizes = {tuple(batch.total() for batch in part) for part in parts}
    assert max(max(size) for size in sizes) - min(min(size[:FULL]) for size in sizes) <= 1


def test_workers_of_a_plain_dataloader_have_the_same_batches(data: tuple[str, str], alone: Batches) -> None:
    """Workers that outlive an epoch too, started from a fork server: the dataset is sent to them once."""
    dataset = open_dataset(data, drop_last=False)
    loader = DataLoader(
        dataset, batch_size=None, num_workers=2, persistent_workers=True, multiprocessing_context="forkserver"
    )
    found = sets_of(loader)
    dataset.set_epoch(1)
    found += sets_of(loader)
    assert found == alone


def test_single_samples_for_a_dataloader_that_makes_the_batches(data: tuple[str, str]) -> None:
    whole = sets_of(open_dataset(data, global_batch_size=2 * BATCH))
    parts = []
    for rank in range(2):
        dataset = open_dataset(data, global_batch_size=2 * BATCH, rank=rank, world_size=2, batched=False)
        parts.append(sets_of(DataLoader(dataset, batch_size=BATCH)))
    assert added(parts) == whole
    with pytest.raises(ConfigError, match="leave out batched=False"):
        dataset.loader(0)


def test_a_draw_by_its_number_is_that_of_the_stream(data: tuple[str, str]) -> None:
    """Of any epoch, in any order of asking; a stand-in too."""
    dataset = open_dataset(data, drop_last=False)
    for epoch in range(2):
        dataset.set_epoch(epoch)
        for number, batch in enumerate(dataset):
            first = number * BATCH
            alone = [dataset[at] for at in reversed(range(first, min(first + BATCH, dataset.epoch_samples)))]
            (streamed,) = sets_of([batch])
            assert Counter((text, image.numpy().tobytes()) for image, text in alone) == streamed
    dataset.set_epoch(0)
    assert torch.equal(dataset[-1][0], dataset[dataset.epoch_samples - 1][0])
    for beyond in (dataset.epoch_samples, -dataset.epoch_samples - 1):
        with pytest.raises(IndexError, match=f"{beyond} of {dataset.epoch_samples} samples"):
            dataset[beyond]


def test_a_stand_in_by_its_number_is_that_of_the_stream(tmp_path: Path) -> None:
    broken = local_pool(tmp_path, broken=True)
    dataset = open_dataset(broken, drop_last=False)
    streamed = captions_of(dataset)
    dataset.set_epoch(0)
    before = dataset.substituted
    assert Counter(dataset[at][1] for at in range(dataset.epoch_samples)) == streamed
    assert dataset.substituted == 2 * before > 0


def test_samples_and_batches_by_name(data: tuple[str, str], alone: Batches) -> None:
    named = open_dataset(data, as_dict=True)
    for batches in (named.loader(0), named):
        named.move_to(0, 0)
        assert sets_of((batch["image"], batch["text"]) for batch in batches) == alone[:FULL]
    singles = open_dataset(data, as_dict=True, batched=False)
    assert next(iter(DataLoader(singles, batch_size=BATCH)))["image"].shape == (BATCH, 3, 8, 8)
    assert list(named[3]) == ["image", "text"]


def test_it_travels_by_pickle(data: tuple[str, str], alone: Batches) -> None:
    dataset = open_dataset(data, drop_last=False)
    first = dataset[0]
    copy = pickle.loads(pickle.dumps(dataset))
    assert torch.equal(copy[0][0], first[0])
    assert sets_of(copy) == alone[: FULL + 1]


# ---- where it stands -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by_loader", [False, True])
def test_a_saved_state_goes_on_under_another_layout(data: tuple[str, str], alone: Batches, by_loader: bool) -> None:
    for stop in (1, FULL, FULL + 1, FULL + 3):
        dataset = open_dataset(data, drop_last=False)
        batches = dataset.loader(0) if by_loader else dataset
        taken = 0
        while taken < stop:
            for _ in batches:
                taken += 1
                if taken == stop:
                    state = dataset.state_dict()
                    break
        parts = []
        for rank in range(3):
            resumed = open_dataset(data, drop_last=False, rank=rank, world_size=3)
            resumed.load_state_dict(pickle.loads(pickle.dumps(state)))
            # As a loop does that begins every epoch with it.
            resumed.set_epoch(state["epoch"])
            parts.append([batch for epoch in range(state["epoch"], 2) for batch in sets_of(resumed)])
        assert added(parts) == alone[stop:]


def test_set_epoch_goes_to_the_start_of_another_epoch(data: tuple[str, str], alone: Batches) -> None:
    dataset = open_dataset(data, drop_last=False)
    next(iter(dataset))
    dataset.set_epoch(0)
    assert (dataset.epoch, dataset.step) == (0, 1)
    dataset.set_epoch(1)
    assert sets_of(dataset) == alone[FULL + 1 :]
    dataset.set_epoch(0)
    assert sets_of(dataset) == alone[: FULL + 1]


@pytest.mark.parametrize("change", [{"seed": 5}, {"global_batch_size": 12}])
def test_a_state_of_another_order_is_refused(data: tuple[str, str], change: dict[str, int]) -> None:
    ((name, value),) = change.items()
    with pytest.raises(ConfigError, match=rf"this state is of another order: {name} was \d+, now it is {value}"):
        open_dataset(data, **change).load_state_dict(open_dataset(data).state_dict())


# ---- images ----------------------------------------------------------------------------------------------------


def noisy(image: Image.Image) -> Tensor:
    """Five numbers of the picture, and one of each generator."""
    pixels = torch.tensor(image.getpixel((3, 3)), dtype=torch.float64)
    return torch.cat([pixels, torch.rand(1, dtype=torch.float64), torch.tensor([random.random()], dtype=torch.float64)])


def test_the_transforms_random_numbers_are_the_samples_own(data: tuple[str, str]) -> None:
    torch.manual_seed(1)
    random.seed(1)
    dataset = open_dataset(data, transform=noisy)
    one = list(dataset)
    assert (torch.rand(1).item(), random.random()) == pytest.approx((0.7576315999031067, 0.13436424411240122))
    in_parts = [list(open_dataset(data, transform=noisy, rank=rank, world_size=2)) for rank in range(2)]
    for whole, *parts in zip(one, *in_parts, strict=True):
        assert torch.equal(whole[0], torch.cat([images for images, _ in parts]))
    numbers = torch.cat([images for images, _ in one])[:, 3:]
    assert len(set(numbers.flatten().tolist())) == 2 * len(numbers)
    for images, texts in one:
        for image, caption in zip(images, texts, strict=True):
            png = members_of(int(caption.split()[1]))["png"]
            assert image[:3].tolist() == list(decode_rgb(png).getpixel((3, 3)))  # type: ignore[arg-type]
            assert Image.open(io.BytesIO(png)).size == (12, 9)


# ---- where it is opened ----------------------------------------------------------------------------------------


def test_a_plan_in_object_storage_is_copied_while_the_dataset_lives(s3_url: str, alone: Batches) -> None:
    dataset = PlanDataset(*planned_pool(s3_url), global_batch_size=BATCH, image_side=8, seed=4, drop_last=False)
    assert sets_of(dataset) == alone[: FULL + 1]
    path = dataset._source.plan_path
    assert path.exists()
    del dataset
    assert not path.exists()


def test_its_place_among_the_processes(data: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (open_dataset(data).rank, open_dataset(data).world_size) == (0, 1)
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert (open_dataset(data).rank, open_dataset(data).world_size) == (2, 3)
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        assert (open_dataset(data).rank, open_dataset(data).world_size) == (0, 1)
        dataset = open_dataset(data, rank=4, world_size=5)
        assert (dataset.rank, dataset.world_size) == (4, 5)
    finally:
        dist.destroy_process_group()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rank": 1}, "give both rank and world_size, or neither, got 1 and None"),
        ({"rank": 2, "world_size": 2}, "rank must be at least 0 and below world_size 2, got 2"),
        ({"global_batch_size": 0}, "global_batch_size must be at least 1, got 0"),
        ({"global_batch_size": 1000}, r"wanted\.plan keeps 50 samples, not one batch of 1000: lower global_batch_size"),
    ],
)
def test_what_is_refused(data: tuple[str, str], options: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        open_dataset(data, **options)


def test_a_client_for_workers_is_refused_without_them(data: tuple[str, str]) -> None:
    dataset = open_dataset(data, storage_client="obstore")
    with pytest.raises(ConfigError, match="storage_client obstore works in workers only: use one or more"):
        next(iter(dataset.loader(0)))
    with pytest.raises(ConfigError, match="num_workers must not be negative, got -1"):
        dataset.loader(-1)


def test_another_pool_is_refused_and_a_copy_is_not(data: tuple[str, str], tmp_path: Path) -> None:
    _, copy = local_pool(tmp_path / "copy")
    PlanDataset(data[0], copy, global_batch_size=4)
    _, other = local_pool(tmp_path / "other", broken=True)
    with pytest.raises(ConfigError, match="is not the one that the plan was made from"):
        PlanDataset(data[0], other, global_batch_size=4)


def test_the_package_itself_stays_light() -> None:
    code = """
import sys, datascaler
assert {"torch", "numpy", "fsspec"}.isdisjoint(sys.modules)
assert "PlanDataset" in dir(datascaler)
assert not hasattr(datascaler, "NoSuchThing")
"""
    subprocess.run([sys.executable, "-c", code], check=True)
