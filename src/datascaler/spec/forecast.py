"""A forecast: from which runs, of what, and for which size."""

from dataclasses import dataclass, field
from fractions import Fraction
from math import inf

from datascaler.errors import ConfigError
from datascaler.spec.field import about, arguments_of
from datascaler.spec.paths import check_places
from datascaler.spec.scales import scale_named

EVIDENCE = ("law", "transfer", "noise")


@dataclass(frozen=True, kw_only=True, slots=True)
class ForecastSpec:
    """The runs at or below some folders, and either a scale of DataComp's or samples and width as the target."""

    runs: tuple[str, ...] = field(metadata=about(place="url", argument=True))
    """Folders or URLs of training runs that were evaluated, or folders above them."""
    target: str | None = None
    """A scale: its architecture at full width, its samples seen and its pool."""
    target_samples: int | None = None
    """Samples seen, in place of a scale."""
    target_width: Fraction | None = None
    """Width multiplier of the runs' architecture, beside target_samples; None is the widest run's."""
    target_pool: int | None = None
    """Samples that the target's filters choose from; None is the scale's pool, or that of the runs."""
    metric: str = "average"
    """average, imagenet, shifts, vtab, retrieval, or a task by key or name."""
    margin: float = 0.005
    """A difference that matters, as a part of 1."""
    evidence: tuple[str, ...] = EVIDENCE
    """Which pieces to use: a law fitted to the runs, published filters, and runs at the target itself."""
    seed: int = 0

    def __post_init__(self) -> None:
        check_places(self)
        if not self.runs:
            raise ConfigError("give at least one run, or a folder of runs")
        if (self.target is None) == (self.target_samples is None):
            raise ConfigError("give either a target scale, or the samples that the target sees (--target-samples)")
        if self.target is not None:
            if self.target_width is not None:
                raise ConfigError("a target scale has its own width: give --target-samples beside --target-width")
            object.__setattr__(self, "target", scale_named(self.target).name)
        for name in ("target_samples", "target_width", "target_pool"):
            value = getattr(self, name)
            if value is not None and not 0 < value < inf:
                raise ConfigError(f"{name} must be above 0, got {value}")
        if not 0 <= self.margin < 1:
            raise ConfigError(f"margin must be at least 0 and below 1, got {self.margin}")
        unknown = [each for each in self.evidence if each not in EVIDENCE]
        if unknown or not self.evidence:
            given = repr(unknown[0]) if unknown else "nothing"
            raise ConfigError(f"evidence must be some of {', '.join(EVIDENCE)}, got {given}")
        if self.seed < 0:
            raise ConfigError(f"seed must not be negative, got {self.seed}")

    def arguments(self) -> list[str]:
        """The arguments of `datascaler forecast` that describe it; parsed, they are this spec again."""
        first = ["--"] if any(run.startswith("-") for run in self.runs) else []
        return [*arguments_of(self, {"runs": self.runs}), *first, *self.runs]
