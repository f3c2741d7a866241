"""How a subset with repeats is drawn."""

from dataclasses import dataclass, field

from datascaler.errors import ConfigError
from datascaler.spec.field import about, arguments_of

DEFAULT_BATCH = 100_000
DEFAULT_PENALTY = 0.15


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampler:
    """How to draw. With `penalty` it is SCS, with `max_repeats` HCS; exactly one of them is given."""

    draws: int
    """Samples in all, repeats counted."""
    penalty: float | None = None
    """Off a row's score, each time that it was drawn."""
    max_repeats: int | None = None
    """Times that a row can be drawn."""
    batch: int = field(default=DEFAULT_BATCH, metadata=about(flag="batch-size"))
    """Draws between two changes of the scores: no row is in a batch twice."""
    temperature: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if (self.penalty is None) == (self.max_repeats is None):
            raise ConfigError("a sampler needs a penalty (scs) or a number of max-repeats (hcs), and not both")
        for name, number in (("draws", self.draws), ("batch-size", self.batch), ("max-repeats", self.max_repeats)):
            if number is not None and number < 1:
                raise ConfigError(f"{name} must be at least 1, got {number}")
        if not self.temperature > 0:
            raise ConfigError(f"temperature must be above 0, got {self.temperature:g}")
        if self.penalty is not None and not self.penalty >= 0:
            raise ConfigError(f"penalty must be at least 0, got {self.penalty:g}")
        if not 0 <= self.seed < 1 << 64:
            raise ConfigError(f"seed must be from 0 to 2^64 - 1, got {self.seed}")

    @property
    def name(self) -> str:
        return "scs" if self.max_repeats is None else "hcs"

    def arguments(self) -> list[str]:
        """The arguments of `datascaler subset sample` that say how to draw; parsed, they are this sampler again."""
        implied = {"penalty": DEFAULT_PENALTY if self.name == "scs" else None}
        return ["--sampler", self.name, *arguments_of(self, implied)]
