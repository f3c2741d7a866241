"""The learning rate against open_clip's own scheduler, and the rates that budgets share."""

import math

import pytest
import torch
from open_clip_train.scheduler import cosine_lr  # type: ignore[import-untyped]

from datascaler.train.schedule import cosine_rate, learning_rate
from tests.train.runs import BATCH, tiny_spec


@pytest.mark.parametrize(("steps", "warmup"), [(40, 7), (40, 0), (40, 1), (5, 12), (1, 0)])
def test_is_open_clips_step_by_step(steps: int, warmup: int) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = cosine_lr(optimizer, 3e-4, warmup, steps)
    for step in range(steps):
        schedule(step)
        ours = cosine_rate(3e-4, step * 96, 96, warmup, steps * 96)
        assert ours == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12)


def test_peak_and_end() -> None:
    assert cosine_rate(1.0, 4 * 10, 10, 5, 1000) == 1.0
    assert cosine_rate(1.0, 50, 10, 5, 1000) == 1.0
    assert cosine_rate(1.0, 1000, 10, 5, 1000) == 0.0


def test_is_a_function_of_samples_and_not_of_steps() -> None:
    """Without warm-up two batch sizes have the same rate at the same sample."""
    assert cosine_rate(1.0, 480, 10, 0, 1000) == cosine_rate(1.0, 480, 60, 0, 1000)


@pytest.mark.parametrize(
    ("steps", "warmup", "cooldown"), [(40, 7, 0.2), (40, 0, 0.5), (3, 0, 0.9), (1, 5, 0.2), (9, 8, 0.4)]
)
def test_wsd_is_constant_between_warm_up_and_cool_down(steps: int, warmup: int, cooldown: float) -> None:
    spec = tiny_spec(
        "pool",
        "out",
        train_num_samples=steps * BATCH + 5,
        warmup_steps=warmup,
        schedule="wsd",
        cooldown=cooldown,
        lr=1.0,
    )
    trunk = spec.trunk_steps
    assert steps - trunk == max(1, round(steps * cooldown))
    for step in range(steps):
        warm = min(1.0, (step + 1) / warmup) if warmup else 1.0
        cool = 1 - math.sqrt((step - trunk) / (steps - trunk)) if step > trunk else 1.0
        assert learning_rate(spec, step * BATCH) == pytest.approx(min(warm, cool), rel=1e-12)
    assert learning_rate(spec, steps * BATCH) == 0.0


def test_budgets_have_the_same_rates_up_to_their_cool_downs() -> None:
    """And what is shared is counted once: 4 + 0.2 x 3 budgets of D samples, in place of 7."""
    spec = tiny_spec("pool", "out", schedule="wsd", train_num_samples=400 * BATCH, branch_at=(200 * BATCH, 100 * BATCH))
    short, middle, long = spec.budgets
    assert [each.steps for each in (short, middle, long)] == [100, 200, 400]
    for one in (short, middle):
        rates = [[learning_rate(each, step * BATCH) for step in range(one.trunk_steps + 1)] for each in (one, long)]
        assert rates[0] == rates[1]
    assert spec.samples_computed == 460 * BATCH
    assert long.samples_computed == 400 * BATCH
