"""The samples of a plan as a torch dataset, for training loops other than `datascaler train`."""

import os
import random
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from PIL import Image
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from datascaler import storage
from datascaler.data.plan.plan import match_shards
from datascaler.data.plan.plan_file import map_plan
from datascaler.data.pool.images import decode_rgb
from datascaler.data.pool.samples import Sample
from datascaler.data.pool.shards import find_shards
from datascaler.errors import BadInputError, ConfigError
from datascaler.spec.train import Decoder, StorageClient
from datascaler.tools.philox import uniforms
from datascaler.train.loading.augment import decode_crop
from datascaler.train.loading.plan_loader import PlanLoader
from datascaler.train.loading.plan_source import Planned, PlannedFeed
from datascaler.train.loading.sample_source import first_decoded
from datascaler.train.loading.substitutions import JUDGED_DRAWS, Replaced

Texts = Tensor | list[str]

_MOST_WORKERS = 1024
"""The most loader workers of one process that have a count of their own."""
_PURPOSE = 1
"""Purpose 0 of (seed, draw) is the random crop."""


class PlanDataset(IterableDataset[Any]):
    """Yields this process's part of every global batch, for one epoch from where it stands: (images, texts).

    `dataset[i]` is draw i of the epoch, whichever process would have it: what the stream gives there, read alone.

    The global batches are those that `datascaler train` would see up to the end of an epoch: they depend on the plan,
    the seed and the global batch size, and not on the number of processes or workers. An epoch draws each kept sample
    once, as often as the subset repeats it. A sample that can't be read or decoded is replaced by another one.

    Args:
        plan: path or URL of a plan, such as `datascaler subset` writes beside a subset.
        data_dir: the pool that the plan was made for, wherever it is stored now.
        global_batch_size: samples in a step of all processes together; each has an equal part, up to one sample.
        transform: PIL image -> tensor; its random numbers, from torch or Python's random, are the sample's own.
            None gives DataComp's random crop, uint8 [3, image_side, image_side], to be normalised on the device.
        tokenizer: n captions -> tensor [n, ...]. None gives the captions.
        drop_last: leave out the samples at the end of an epoch that do not fill a batch, other ones in every epoch.
            Otherwise the last batch is short, and may be empty in some processes: all take the same number of steps.
        batched: False yields (image, text) one by one, for a DataLoader that makes batches of
            global_batch_size / world_size.
        as_dict: {"image": images, "text": texts} in place of the pair, for loops that look things up by name.
        rank, world_size: by default torch.distributed's, if it is initialised now, or else those of torchrun.
        max_substituted: the share of this process's draws that may be replaced so; above it, BadInputError is raised.
            `datascaler train` stops at 0.05; here it is the loop's to decide, and there is a warning at 0.01.
        cache_dir, cache_bytes: a folder of this node that keeps samples for later epochs.
        storage_client: obstore reads object stores with less CPU; in workers only.

    Raises ConfigError for a pool that is not the plan's. `substituted` counts the draws that were replaced.

    Example:
        >>> dataset = PlanDataset("scored/subsets/clip-f0.5.plan", "pool", global_batch_size=4, image_side=32)
        >>> dataset.epoch_samples, dataset.num_batches
        (12, 3)
        >>> images, captions = next(iter(dataset))
        >>> images.shape, images.dtype, len(captions)
        (torch.Size([4, 3, 32, 32]), torch.uint8, 4)
    """

    def __init__(
        self,
        plan: str,
        data_dir: str,
        *,
        global_batch_size: int,
        transform: Callable[[Image.Image], Tensor] | None = None,
        tokenizer: Callable[[list[str]], Tensor] | None = None,
        seed: int = 0,
        image_side: int = 224,
        decode: Decoder = "bicubic",
        drop_last: bool = True,
        batched: bool = True,
        as_dict: bool = False,
        rank: int | None = None,
        world_size: int | None = None,
        max_substituted: float = 1.0,
        cache_dir: str | None = None,
        cache_bytes: int = 50 * 10**9,
        storage_client: StorageClient = "fsspec",
    ) -> None:
        if global_batch_size < 1:
            raise ConfigError(f"global_batch_size must be at least 1, got {global_batch_size}")
        if not 0 <= max_substituted <= 1:
            raise ConfigError(f"max_substituted must be at least 0 and at most 1, got {max_substituted}")
        self.global_batch_size, self._seed = global_batch_size, seed
        self._batched, self._as_dict = batched, as_dict
        self._transform, self._tokenizer = transform, tokenizer
        self._image_side, self._decode, self._storage_client = image_side, decode, storage_client
        self.rank, self.world_size = _place(rank, world_size)
        copy = ExitStack()
        weakref.finalize(self, _close_in_its_process, copy, os.getpid())
        path = copy.enter_context(storage.local_copy(plan))
        opened = map_plan(path)
        shards = match_shards(opened, find_shards(data_dir))
        self._source = Planned(plan_path=path, shards=shards, cache_dir=cache_dir, cache_bytes=cache_bytes)
        self._identity = f"{opened.pool_digest}-{opened.subset_digest}-{opened.order_digest}"
        self.epoch_samples = opened.samples
        """Kept samples, repeats counted."""
        full, rest = divmod(self.epoch_samples, global_batch_size)
        self.num_batches = full + (rest > 0 and not drop_last)
        """Steps of an epoch."""
        self.num_samples = full * global_batch_size if drop_last else self.epoch_samples
        """What an epoch yields in all processes together."""
        if self.num_batches == 0:
            raise ConfigError(
                f"{plan} keeps {self.epoch_samples} samples, not one batch of {global_batch_size}: "
                "lower global_batch_size, or set drop_last=False"
            )
        # Shared, so that workers that outlive an epoch learn of the next one.
        self._position = torch.zeros(2, dtype=torch.int64).share_memory_()  # type: ignore[no-untyped-call]
        # Draws, and those of them that were replaced; each worker counts in a row of its own, and all may see the sum.
        counts = torch.zeros((_MOST_WORKERS, 2), dtype=torch.int64)
        self._counts = counts.share_memory_()  # type: ignore[no-untyped-call]
        judged = max(1, min(JUDGED_DRAWS, self.epoch_samples) // self.world_size)
        self._replaced = Replaced(max_substituted, judged, flag="max_substituted")
        self._looked_up: tuple[int, PlannedFeed] | None = None
        """What `dataset[i]` reads with, and the process that it belongs to."""

    # ---- where it stands ---------------------------------------------------------------------------------------

    @property
    def epoch(self) -> int:
        return int(self._position[0])

    @property
    def step(self) -> int:
        """Batches of the epoch that were yielded; those of a DataLoader's workers are not counted."""
        return int(self._position[1])

    @property
    def substituted(self) -> int:
        """Draws of this process and its workers whose sample could not be used, so that another stood in."""
        return int(self._counts[:, 1].sum())

    def set_epoch(self, epoch: int) -> None:
        """Go to the start of an epoch. If it is the one at hand, nothing changes: a state that was loaded stands."""
        if epoch != self.epoch:
            self.move_to(epoch, 0)

    def move_to(self, epoch: int, step: int) -> None:
        self._position.copy_(torch.tensor([epoch, step]))

    def state_dict(self) -> dict[str, Any]:
        """Where it stands, and in what. It does not depend on processes or workers, so these may change."""
        return {**self._same(), "epoch": self.epoch, "step": self.step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, value in self._same().items():
            if state.get(name) != value:
                raise ConfigError(
                    f"this state is of another order: {name} was {state.get(name)!r}, now it is {value!r}"
                )
        self.move_to(state["epoch"], state["step"])

    def _same(self) -> dict[str, Any]:
        return {"plan": self._identity, "seed": self._seed, "global_batch_size": self.global_batch_size}

    # ---- what it yields ----------------------------------------------------------------------------------------

    def loader(self, num_workers: int) -> PlanLoader:
        """The batches, with `num_workers` processes that each make a part of every one, so nothing is read twice.

        A plain DataLoader works too, and yields the same batches; each of its workers makes whole batches in turn, and
        reads what it needs for them, which is nearly all of this process's part of the pool.
        """
        if not self._batched:
            raise ConfigError("loader() yields batches: leave out batched=False")
        return PlanLoader(self, num_workers)

    def __iter__(self) -> Iterator[Any]:
        worker, epoch, first = get_worker_info(), self.epoch, self.step
        steps = range(first, self.num_batches)
        mine = steps[worker.id :: worker.num_workers] if worker else steps
        for step, part in zip(mine, self.parts(epoch, mine, 0, 1), strict=True):
            if worker is None:
                # Before it is handed out: a state that is saved in the loop's body has this batch behind it.
                self.move_to(epoch, step + 1)
            if self._batched:
                yield self.form(*part)
            else:
                yield from (self.form(*sample) for sample in zip(*part, strict=True))
        if worker is None:
            self.move_to(epoch + 1, 0)

    def __getitem__(self, index: int) -> Any:
        """Draw `index` of the epoch at hand, from the end if it is negative: an image and a text.

        One that stands in for a bad image is counted in `substituted`. Raises IndexError from epoch_samples on.
        """
        if not -self.epoch_samples <= index < self.epoch_samples:
            raise IndexError(f"{index} of {self.epoch_samples} samples")
        number = self.epoch * self.epoch_samples + index % self.epoch_samples
        images, texts = self._batch(iter([(number, self._feed_to_look_up().at(number))]))
        return self.form(images[0], texts[0])

    def form(self, images: Tensor, texts: Any) -> Any:
        """Images and texts as the loop wants them."""
        return {"image": images, "text": texts} if self._as_dict else (images, texts)

    def parts(self, epoch: int, steps: Sequence[int], worker: int, workers: int) -> Iterator[tuple[Tensor, Texts]]:
        """Part `worker` of `workers` of this process's batches."""
        start, end = epoch * self.epoch_samples, (epoch + 1) * self.epoch_samples
        last = start + (max(steps, default=0) + 1) * self.global_batch_size
        feed = self._open_feed(min(last, end))
        index, of = self.rank * workers + worker, self.world_size * workers
        try:
            for step in steps:
                first = start + step * self.global_batch_size
                yield self._batch(feed.part(first, min(self.global_batch_size, end - first), index, of))
        finally:
            feed.close()

    def _open_feed(self, end: int) -> PlannedFeed:
        if get_worker_info():
            storage.use_client(self._storage_client)
        elif self._storage_client != "fsspec":
            raise ConfigError(f"storage_client {self._storage_client} works in workers only: use one or more")
        return self._source.open(seed=self._seed, batch_size=self.global_batch_size, end=end)

    def _feed_to_look_up(self) -> PlannedFeed:
        if self._looked_up is None or self._looked_up[0] != os.getpid():
            feed = self._open_feed(end=0)
            weakref.finalize(self, _close_in_its_process, feed, os.getpid())
            self._looked_up = os.getpid(), feed
        return self._looked_up[1]

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_looked_up": None}

    def _batch(self, part: Iterator[tuple[int, Iterator[Sample]]]) -> tuple[Tensor, Texts]:
        images, captions, faults = [], [], []
        for draw, candidates in part:
            image, caption, fault = first_decoded(candidates, partial(self._image, draw))
            images.append(image)
            captions.append(caption)
            if fault:
                faults.append(fault)
        self._count(len(images), faults)
        # What has no samples still has the others' shape.
        stacked = torch.stack(images or [self._blank()])[: len(images)]
        if self._tokenizer is None:
            return stacked, captions
        return stacked, self._tokenizer(captions or [""])[: len(captions)]

    def _count(self, draws: int, faults: list[str]) -> None:
        """Raises BadInputError where too many were replaced."""
        worker = get_worker_info()
        own = worker.id if worker else 0
        self._counts[own % _MOST_WORKERS] += torch.tensor([draws, len(faults)])
        if faults:
            self._replaced.note(faults)
            all_draws, all_replaced = self._counts.sum(0).tolist()
            if too_many := self._replaced.excess(all_replaced, all_draws, warns=own == 0):
                raise BadInputError(too_many)

    def _image(self, draw: int, encoded: bytes | memoryview) -> Tensor:
        if self._transform is None:
            return decode_crop(encoded, self._image_side, self._seed, draw, self._decode)
        image = decode_rgb(encoded)
        with seeded(self._seed, draw):
            return self._transform(image)

    def _blank(self) -> Tensor:
        if self._transform is None:
            return torch.empty((3, self._image_side, self._image_side), dtype=torch.uint8)
        return self._transform(Image.new("RGB", (self._image_side, self._image_side)))


def _place(rank: int | None, world_size: int | None) -> tuple[int, int]:
    """This process among all."""
    if (rank is None) is not (world_size is None):
        raise ConfigError(f"give both rank and world_size, or neither, got {rank} and {world_size}")
    if rank is None or world_size is None:
        if dist.is_available() and dist.is_initialized():
            return dist.get_rank(), dist.get_world_size()
        return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    if not 0 <= rank < world_size:
        raise ConfigError(f"rank must be at least 0 and below world_size {world_size}, got {rank}")
    return rank, world_size


def _close_in_its_process(opened: ExitStack | PlannedFeed, pid: int) -> None:
    """A worker that was forked has the dataset too, and its end must not take the plan away."""
    if os.getpid() == pid:
        opened.close()


@contextmanager
def seeded(seed: int, draw: int) -> Iterator[None]:
    """Inside, torch's CPU generator and Python's give what belongs to (seed, draw); afterwards they are as before."""
    number = int(uniforms(1, (seed, draw), _PURPOSE)[0] * 2**53)
    before, torch_before = random.getstate(), torch.get_rng_state()
    random.seed(number)
    # torch.manual_seed would seed the GPUs too.
    torch.default_generator.manual_seed(number)
    try:
        yield
    finally:
        random.setstate(before)
        torch.set_rng_state(torch_before)
