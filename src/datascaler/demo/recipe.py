"""The sizes of the demo: small enough for two CPU cores and a few minutes, large enough to show the effect."""

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    pool_samples: int = 4000
    clean_samples: int = 2000
    eval_per_class: int = 20
    samples_per_shard: int = 1000
    fraction: Fraction = Fraction(2, 5)
    arch: str = "ViT-Micro-12-48"
    batch_size: int = 96
    filter_steps: int = 250
    train_steps: int = 200
    """Of each model; fewer than 200 leave the outcome to chance."""
    warmup_steps: int = 20
    lr: float = 3e-3
    weight_decay: float = 0.2
    seed: int = 0
    """Of the drawing."""
    train_seeds: tuple[int, ...] = (0, 1)
