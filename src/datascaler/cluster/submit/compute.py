"""What training a CLIP costs, before anything has run: its operations, and A100-hours by DataComp's record."""

from dataclasses import dataclass
from fractions import Fraction

from datascaler.spec.scales import SCALES
from datascaler.spec.train import TrainSpec


@dataclass(frozen=True, slots=True)
class _Tower:
    width: int
    layers: int
    tokens: int

    def operations(self, width_mult: Fraction) -> float:
        """Forward, per sample: 12 d^2 + 2 T d multiply-adds a layer and token."""
        d = float(self.width * width_mult)
        return 2 * self.layers * self.tokens * (12 * d * d + 2 * self.tokens * d)


_TOWERS = {
    "ViT-B-32": (_Tower(768, 12, 50), _Tower(512, 12, 77)),
    "ViT-B-16": (_Tower(768, 12, 197), _Tower(512, 12, 77)),
    "ViT-L-14": (_Tower(1024, 24, 257), _Tower(768, 12, 77)),
}
_SMALL_A100_HOURS = 4
"""DataComp's small scale takes 4 hours on one A100 (arXiv 2304.14108, section 3.2)."""


def a100_hours(spec: TrainSpec) -> float | None:
    """As if the run kept one A100 as busy as DataComp's small scale did; None for an architecture not in the table."""
    if spec.model_arch not in _TOWERS:
        return None
    small = SCALES["small"]
    reference = small.train_num_samples * _per_sample(small.arch, Fraction(1))
    return _SMALL_A100_HOURS * spec.train_num_samples * _per_sample(spec.model_arch, spec.width_mult) / reference


def _per_sample(arch: str, width_mult: Fraction) -> float:
    return sum(tower.operations(width_mult) for tower in _TOWERS[arch])
