"""Training steps of several kinds that take turns on the same batches, each timed."""

import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import comb
from statistics import median
from typing import Any

import open_clip
import torch
from open_clip.loss import ClipLoss
from open_clip_train.scheduler import cosine_lr  # type: ignore[import-untyped]
from open_clip_train.train import train_one_epoch  # type: ignore[import-untyped]
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.score_pool import captions_of
from datascaler.models.arch import reference_config
from datascaler.models.optimizer import build_optimizer
from datascaler.models.run_weights import fresh_model
from datascaler.models.tokenize import tokenizer_for
from datascaler.spec.train import TrainSpec
from datascaler.train.distributed import World
from datascaler.train.loading.batches import Batch
from datascaler.train.step import TrainStep

ALONE = World(rank=0, size=1, device=torch.device("cpu"))
_READS = {"aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select", "aten::equal", "aten::is_nonzero"}
"""What asks a device for a number, and so waits until it has done all that was queued before."""


@dataclass(frozen=True)
class Prepared:
    """One batch, as our loader gives it and as open_clip's does."""

    batch: Batch
    pixels: Tensor
    """float32, normalised."""


Step = Callable[[Prepared], None]
Turn = Mapping[str, float]
"""Seconds of a step of each kind."""


def prepared_batches(spec: TrainSpec, count: int) -> Iterator[Prepared]:
    """Noise, with captions as long as people write them."""
    draw = torch.Generator().manual_seed(0)
    side = reference_config(spec.model_arch)["vision_cfg"]["image_size"]
    tokens = tokenizer_for(spec.model_arch)(captions_of(spec.batch_size * count))
    mean, std = (
        torch.tensor(each).view(3, 1, 1) for each in (open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD)
    )
    for part in torch.split(tokens, spec.batch_size):
        images = torch.randint(256, (len(part), 3, side, side), generator=draw, dtype=torch.uint8)
        yield Prepared(Batch(images, part, []), (images.float() / 255 - mean) / std)


def own_step(spec: TrainSpec) -> Step:
    """That of `datascaler train`, and the wait for what came out."""
    clip = fresh_model(spec)
    betas = (spec.beta1, spec.beta2)
    optimizer = build_optimizer(
        clip.model, clip.table, lr=spec.lr, weight_decay=spec.weight_decay, betas=betas, eps=spec.eps
    )
    step = TrainStep(spec, clip, optimizer, ALONE)
    return lambda given: step.settle(step(given.batch, 1, spec.lr))


def open_clip_step(spec: TrainSpec, precision: str = "fp32") -> Step:
    """That of open_clip's own loop, from the same weights, with its groups in a fused AdamW."""
    clip = fresh_model(spec)
    model = open_clip.CLIP(**clip.config, output_dict=True)
    model.load_state_dict(clip.model.state_dict())
    groups: list[dict[str, Any]] = [{"params": [], "weight_decay": each} for each in (0.0, spec.weight_decay)]
    for name, weight in model.named_parameters():
        decays = weight.ndim >= 2 and not any(word in name for word in ("bn", "ln", "bias", "logit_scale"))
        groups[decays]["params"].append(weight)
    optimizer = torch.optim.AdamW(groups, lr=spec.lr, betas=(spec.beta1, spec.beta2), eps=spec.eps, fused=True)
    schedule, loss = cosine_lr(optimizer, spec.lr, 1, spec.steps), ClipLoss()
    arguments = Namespace(
        device="cpu", precision=precision, accum_freq=1, distill=False, skip_scheduler=False, horovod=False, rank=0,
        grad_clip_norm=None, world_size=1, log_every_n_steps=1, batch_size=spec.batch_size, wandb=False,
    )  # fmt: skip

    def step(given: Prepared) -> None:
        """An epoch of one batch."""
        loader = _Loader([(given.pixels, given.batch.tokens)])
        data = {"train": Namespace(set_epoch=lambda _: None, dataloader=loader)}
        train_one_epoch(model, data, loss, 0, optimizer, None, schedule, None, arguments)

    return step


class _Loader(list[tuple[Tensor, Tensor]]):
    num_batches, num_samples = 1, 1


def take_turns(steps: Mapping[str, Step], batches: Sequence[Prepared]) -> list[Turn]:
    """A turn for each batch but the first, on which all warm up."""
    turns: list[Turn] = []
    for number, batch in enumerate(batches):
        seconds = {}
        # Every other turn goes backwards: no kind is always the one after the same other.
        for name in list(steps)[:: -1 if number % 2 else 1]:
            began = time.perf_counter()
            steps[name](batch)
            seconds[name] = time.perf_counter() - began
        turns.append(seconds)
    return turns[1:]


def ratio(turns: Sequence[Turn], name: str, ours: str, theirs: str) -> dict[str, float]:
    """The median over turns of one kind's seconds by another's, as `name`, and its 95% interval."""
    ratios = sorted(turn[ours] / turn[theirs] for turn in turns)
    skipped = _below_interval(len(ratios))
    figures = {name: median(ratios), f"{name}_low": ratios[skipped], f"{name}_high": ratios[-1 - skipped]}
    return {key: round(value, 3) for key, value in figures.items()}


def _below_interval(count: int) -> int:
    """How many of so many draws may be left out on each side so that the rest covers the median in 95% of cases."""
    below, skipped = 0.0, 0
    while (below := below + comb(count, skipped) / 2**count) <= 0.025:
        skipped += 1
    return max(skipped - 1, 0)


class _Reads(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts what asks for numbers."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count: int = 0

    def __torch_dispatch__(self, function: Any, _: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += function.name().split(".")[0] in _READS
        return function(*args, **(kwargs or {}))


def host_reads(spec: TrainSpec) -> int:
    """How often the host asks the device for a number while it queues a step."""
    (given,) = prepared_batches(spec, 1)
    clip = fresh_model(spec)
    step = TrainStep(spec, clip, build_optimizer(clip.model, clip.table, lr=spec.lr, weight_decay=0.2), ALONE)
    with _Reads() as reads:
        step(given.batch, 1, spec.lr)
    return int(reads.count)
