"""The learning rate as a function of samples seen, so that it does not depend on how steps are counted."""

import math


def learning_rate(base_lr: float, samples_seen: int, batch_size: int, warmup_steps: int, total_samples: int) -> float:
    """open_clip's schedule: linear warm-up, (step + 1) / warmup, then a cosine to zero at `total_samples`.

    `samples_seen` is counted before the step whose rate is asked for.
    """
    warmup_samples = warmup_steps * batch_size
    if samples_seen < warmup_samples:
        return base_lr * (samples_seen + batch_size) / warmup_samples
    progress = (samples_seen - warmup_samples) / max(1, total_samples - warmup_samples)
    return base_lr * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
