"""DataComp's training recipes, one row a scale (arXiv 2304.14108, Table 14 and section D)."""

from dataclasses import dataclass

from datascaler.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """A row of DataComp's scale table. `beta2` is open_clip's default for ViT where DataComp leaves it unset."""

    name: str
    arch: str
    batch_size: int
    lr: float
    warmup_steps: int
    train_num_samples: int
    beta2: float = 0.98


SCALES = {
    scale.name: scale
    for scale in (
        Scale(name="debug", arch="ViT-B-32", batch_size=1024, lr=1e-4, warmup_steps=500, train_num_samples=128_000),
        Scale(name="small", arch="ViT-B-32", batch_size=4096, lr=5e-4, warmup_steps=500, train_num_samples=12_800_000),
        Scale(
            name="medium", arch="ViT-B-32", batch_size=4096, lr=5e-4, warmup_steps=500, train_num_samples=128_000_000
        ),
        Scale(
            name="large", arch="ViT-B-16", batch_size=8192, lr=5e-4, warmup_steps=500, train_num_samples=1_280_000_000
        ),
        Scale(
            name="xlarge",
            arch="ViT-L-14",
            batch_size=90_112,
            lr=1e-3,
            warmup_steps=10_000,
            train_num_samples=12_800_000_000,
            beta2=0.95,
        ),
    )
}

DEMO = "demo"
"""Stands in the place of a scale in the runs of `datascaler demo`, whose numbers are its own."""


def scale_named(name: str) -> Scale:
    try:
        return SCALES[name.lower()]
    except KeyError:
        raise ConfigError(f"unknown scale {name!r}; known: {', '.join(SCALES)}") from None
