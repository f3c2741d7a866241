"""What training costs: operations of a sample by architecture and width, and A100-hours by DataComp's record."""

from dataclasses import dataclass
from fractions import Fraction

from datascaler.spec.scales import SCALES


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
    "ViT-S-32": (_Tower(384, 12, 50), _Tower(384, 12, 77)),
    "ViT-S-16": (_Tower(384, 12, 197), _Tower(384, 12, 77)),
    "ViT-M-32": (_Tower(512, 12, 50), _Tower(512, 12, 77)),
    "ViT-M-16": (_Tower(512, 12, 197), _Tower(512, 12, 77)),
    "ViT-B-32": (_Tower(768, 12, 50), _Tower(512, 12, 77)),
    "ViT-B-16": (_Tower(768, 12, 197), _Tower(512, 12, 77)),
    "ViT-L-16": (_Tower(1024, 24, 197), _Tower(768, 12, 77)),
    "ViT-L-14": (_Tower(1024, 24, 257), _Tower(768, 12, 77)),
    "ViT-H-14": (_Tower(1280, 32, 257), _Tower(1024, 24, 77)),
    "ViT-Mini-8-48": (_Tower(96, 3, 37), _Tower(96, 2, 16)),
    "ViT-Micro-12-48": (_Tower(64, 2, 17), _Tower(64, 1, 16)),
}
_SMALL_A100_HOURS = 4
"""DataComp's small scale takes 4 hours on one A100 (arXiv 2304.14108, section 3.2)."""


def operations_per_sample(arch: str, width_mult: Fraction) -> float | None:
    """The operations of a forward pass through both towers, two a multiply-add; None if it is not in the table."""
    if arch not in _TOWERS:
        return None
    return sum(tower.operations(width_mult) for tower in _TOWERS[arch])


def a100_hours(arch: str, width_mult: Fraction, samples: float) -> float | None:
    """A100-hours at the utilisation of DataComp's small scale; None for an architecture not in the table."""
    small = SCALES["small"]
    unit = operations_per_sample(small.arch, Fraction(1))
    operations = operations_per_sample(arch, width_mult)
    if operations is None or unit is None:
        return None
    return _SMALL_A100_HOURS * samples * operations / (small.train_num_samples * unit)
