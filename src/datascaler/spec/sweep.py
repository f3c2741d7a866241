"""A grid of training runs around one of them."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

from datascaler.errors import ConfigError
from datascaler.spec.train import TrainSpec

LR_FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""The default grid: the recipe's learning rate times these."""


def grid(
    base: TrainSpec, lrs: Sequence[float] = (), weight_decays: Sequence[float] = (), warmups: Sequence[int] = ()
) -> list[TrainSpec]:
    """Every combination; an empty axis stays at the base's value, but for the learning rate."""
    lrs = lrs or tuple(base.lr * factor for factor in LR_FACTORS)
    axes = (lrs, weight_decays or (base.weight_decay,), warmups or (base.warmup_steps,))
    points = [
        replace(base, lr=lr, weight_decay=weight_decay, warmup_steps=warmup)
        for lr, weight_decay, warmup in product(*axes)
    ]
    if len({point.folder for point in points}) < len(points):
        raise ConfigError("the grid has the same point twice")
    return points
