"""How long a run will take, from one timed step on made-up data. A guess that people get before they commit."""

import time

import torch

from datascaler.models.build import BuiltClip
from datascaler.spec.train import TrainSpec
from datascaler.train.distributed import World
from datascaler.train.step import Step

_TIMED_SAMPLES = 64


def seconds_per_step(step: Step, clip: BuiltClip, spec: TrainSpec, world: World) -> float:
    """Forward and backward of a small part on this device, scaled to its share of the batch.

    No weight and no random generator is changed. Loading and, between processes, communication are not in it.
    """
    share = max(1, spec.batch_size // world.size)
    count = min(share, _TIMED_SAMPLES, spec.device_batch_size or share)
    side, context = clip.config["vision_cfg"]["image_size"], clip.config["text_cfg"]["context_length"]
    images = torch.zeros(count, 3, side, side, dtype=torch.uint8)
    tokens = torch.zeros(count, context, dtype=torch.long)
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
