"""How long a step takes on this device, before the first one is taken."""

import time

import torch

from datascaler.models.build import BuiltClip
from datascaler.models.tokenize import tokenizer_for
from datascaler.spec.train import TrainSpec
from datascaler.train.distributed import World
from datascaler.train.step import TrainStep

_SAMPLES = 64
_CAPTION = "a caption as long as most of them are, on the pages that pools are made from"


def seconds_per_step(step: TrainStep, clip: BuiltClip, spec: TrainSpec, world: World) -> float:
    """Forward and backward of a small part on this device, scaled to its share of the batch.

    No weight and no random generator is changed. Loading is not in it.
    """
    share = max(1, spec.batch_size // world.size)
    count = min(share, _SAMPLES, spec.device_batch_size or share)
    side = clip.config["vision_cfg"]["image_size"]
    images = torch.zeros(count, 3, side, side, dtype=torch.uint8)
    # Text costs as much as it is long.
    tokens = tokenizer_for(spec.model_arch)([_CAPTION] * count)
    with torch.random.fork_rng([world.device] if world.device.type == "cuda" else []):
        for _ in range(2):  # the first pays for allocation and kernel choice
            _synchronise(world)
            started = time.perf_counter()
            step.backward(images, tokens, spec.batch_size)
            _synchronise(world)
            seconds = time.perf_counter() - started
    clip.model.zero_grad()
    # What does not fit at once is computed twice forward: a third more work.
    again = 4 / 3 if spec.device_batch_size and share > spec.device_batch_size else 1.0
    return seconds * share / count * again


def _synchronise(world: World) -> None:
    if world.device.type == "cuda":
        torch.cuda.synchronize(world.device)
