"""A coordinate check: which widths, seeds and steps, and how large a learning rate."""

from dataclasses import dataclass, field, fields
from fractions import Fraction
from math import inf

from datascaler.errors import ConfigError
from datascaler.spec.field import about
from datascaler.spec.numbers import format_fraction, parse_fraction
from datascaler.spec.paths import check_places

FEWEST_WIDTHS, SMALLEST_SPAN, FEWEST_SEEDS, FEWEST_STEPS = 4, 8, 3, 5
"""Below these a slope says little: one odd width or seed decides it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CoordCheckSpec:
    """A few steps of one batch at several widths, under the standard parametrisation and under muP.

    Raises ConfigError for values out of their range, and for fewer than a verdict needs.
    """

    output_dir: str = field(metadata=about(place="url", written=True))
    model_arch: str = "ViT-Micro-12-48"
    width_mults: tuple[Fraction, ...] = (Fraction(2), Fraction(4), Fraction(8), Fraction(16))
    """The smallest is muP's base width. Of this architecture it is 128: a tiny base says little of wide models."""
    seeds: int = 3
    steps: int = 5
    """Updates; what a model computes is looked at before each and after the last."""
    batch_size: int = 16
    lr: float = 5e-3
    """The rate at the base width, ten times that of DataComp's recipe: too small a one hides what grows."""
    eps: float = 1e-8
    weight_decay: float = 0.2

    def __post_init__(self) -> None:
        check_places(self)
        widths = sorted({parse_fraction(width) for width in self.width_mults})
        object.__setattr__(self, "width_mults", tuple(widths))
        if len(widths) < FEWEST_WIDTHS or widths[0] <= 0 or widths[-1] < SMALLEST_SPAN * widths[0]:
            given = ", ".join(str(width) for width in widths)
            raise ConfigError(
                f"width_mults must be {FEWEST_WIDTHS} or more above 0, the largest {SMALLEST_SPAN} times the smallest "
                f"or more, got {given}"
            )
        for name, fewest in (("seeds", FEWEST_SEEDS), ("steps", FEWEST_STEPS), ("batch_size", 2)):
            if getattr(self, name) < fewest:
                raise ConfigError(f"{name} must be at least {fewest}, got {getattr(self, name)}")
        if not 0 < self.lr < inf:
            raise ConfigError(f"lr must be above 0, got {self.lr}")
        for name in ("eps", "weight_decay"):
            if not 0 <= getattr(self, name) < inf:
                raise ConfigError(f"{name} must not be negative, got {getattr(self, name)}")

    def record(self) -> dict[str, object]:
        """Plain values for the result."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return values | {"width_mults": [format_fraction(width) for width in self.width_mults]}
