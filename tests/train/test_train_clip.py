"""The learning rate against open_clip's own scheduler."""

import pytest
import torch
from open_clip_train.scheduler import cosine_lr  # type: ignore[import-untyped]

from datascaler.train.train_clip import learning_rate


@pytest.mark.parametrize(("steps", "warmup"), [(40, 7), (40, 0), (40, 1), (5, 12), (1, 0)])
def test_is_open_clips_step_by_step(steps: int, warmup: int) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = cosine_lr(optimizer, 3e-4, warmup, steps)
    for step in range(steps):
        schedule(step)
        ours = learning_rate(3e-4, step * 96, 96, warmup, steps * 96)
        assert ours == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12)


def test_peak_and_end() -> None:
    assert learning_rate(1.0, 4 * 10, 10, 5, 1000) == 1.0
    assert learning_rate(1.0, 50, 10, 5, 1000) == 1.0
    assert learning_rate(1.0, 1000, 10, 5, 1000) == 0.0


def test_is_a_function_of_samples_and_not_of_steps() -> None:
    """Without warm-up two batch sizes have the same rate at the same sample."""
    assert learning_rate(1.0, 480, 10, 0, 1000) == learning_rate(1.0, 480, 60, 0, 1000)
