"""A pipeline: score, subset, (sweep), train and eval as runs of their own, each over what the one before it left."""

from dataclasses import dataclass, field
from fractions import Fraction

from datascaler.spec.field import about, arguments_of


@dataclass(frozen=True, kw_only=True, slots=True)
class PipelineSpec:
    data_dir: str = field(metadata=about(place="url"))
    output_dir: str = field(metadata=about(place="url"))
    """Scores and subsets lie here, runs in `runs/`."""
    method: str
    fraction: Fraction
    scale: str
    eval_data_dir: str | None = field(default=None, metadata=about(place="url"))
    """None leaves evaluation out."""
    logs: str | None = field(default=None, metadata=about(place="url"))
    """Where the steps' logs go; None is `logs/` of output_dir."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "method", self.method.lower())

    @property
    def runs_dir(self) -> str:
        return f"{self.output_dir.rstrip('/')}/runs"

    @property
    def logs_dir(self) -> str:
        return self.logs or f"{self.output_dir.rstrip('/')}/logs"

    def arguments(self) -> list[str]:
        """The arguments of `datascaler submit pipeline` that describe it, but for those of its steps."""
        return arguments_of(self, {})
