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
    arch: str = "ViT-Mini-8-48"
    batch_size: int = 96
    train_steps: int = 200
    warmup_steps: int = 20
    lr: float = 2e-3
    weight_decay: float = 0.1
    seed: int = 0
    """Of the drawing."""
    train_seeds: tuple[int, ...] = (0, 1)
