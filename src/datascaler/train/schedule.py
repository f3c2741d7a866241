"""The learning rate of a step, as a function of the samples seen before it."""

import math

from datascaler.spec.train import TrainSpec


def learning_rate(spec: TrainSpec, samples_seen: int) -> float:
    """The rate of the step that begins after `samples_seen` samples, at the base width."""
    if spec.schedule == "wsd":
        start, end = (steps * spec.batch_size for steps in (spec.trunk_steps, spec.steps))
        return wsd_rate(spec.lr, samples_seen, spec.batch_size, spec.warmup_steps, start, end)
    return cosine_rate(spec.lr, samples_seen, spec.batch_size, spec.warmup_steps, spec.train_num_samples)


def cosine_rate(base_lr: float, samples_seen: int, batch_size: int, warmup_steps: int, total_samples: int) -> float:
    """open_clip's schedule: linear warm-up, (step + 1) / warmup, then a cosine to zero at `total_samples`."""
    warmup_samples = warmup_steps * batch_size
    if samples_seen < warmup_samples:
        return base_lr * (samples_seen + batch_size) / warmup_samples
    progress = (samples_seen - warmup_samples) / max(1, total_samples - warmup_samples)
    return base_lr * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def wsd_rate(
    base_lr: float, samples_seen: int, batch_size: int, warmup_steps: int, cooldown_from: int, total_samples: int
) -> float:
    """Warm-up as of the cosine, then constant, then the cool-down: 1 - sqrt, to zero at `total_samples`.

    Of the forms that were compared, this one ended lowest (arXiv 2405.18392, section 3).
    """
    warmup_samples = warmup_steps * batch_size
    warmth = min(1.0, (samples_seen + batch_size) / warmup_samples) if warmup_samples else 1.0
    progress = max(0, samples_seen - cooldown_from) / max(1, total_samples - cooldown_from)
    return base_lr * min(warmth, 1 - math.sqrt(min(1.0, progress)))
