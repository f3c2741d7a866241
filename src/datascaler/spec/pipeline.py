"""A pipeline: score, subset, (sweep), train and eval as runs of their own, each over what the one before it left."""

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from datascaler.spec.field import about, arguments_of
from datascaler.spec.numbers import format_fraction
from datascaler.spec.paths import check_places

STEPS = ("score", "subset", "sweep", "train", "eval")


@dataclass(frozen=True, kw_only=True, slots=True)
class PipelineSpec:
    data_dir: str = field(metadata=about(place="url"))
    output_dir: str = field(metadata=about(place="url", written=True))
    """Scores and subsets lie here, runs in `runs/`."""
    method: str
    fraction: Fraction
    scale: str
    eval_data_dir: str | None = field(default=None, metadata=about(place="url"))
    """None leaves evaluation out."""
    logs: str | None = field(default=None, metadata=about(place="url", written=True))
    """Where the steps' logs go; None is `logs/` of output_dir."""

    def __post_init__(self) -> None:
        check_places(self)
        object.__setattr__(self, "method", self.method.lower())

    @property
    def runs_dir(self) -> str:
        return f"{self.output_dir.rstrip('/')}/runs"

    @property
    def logs_dir(self) -> str:
        return self.logs or f"{self.output_dir.rstrip('/')}/logs"

    @property
    def subset_file(self) -> str:
        name = f"{self.method}-f{format_fraction(self.fraction)}"
        return f"{self.output_dir.rstrip('/')}/subsets/{name}.npy"

    def given_to(self, step: str) -> dict[str, Any]:
        """Fields of the step's spec: where it finds what the one before it left, and what it makes of that."""
        kept = {"method": self.method, "fraction": self.fraction}
        scored = {"output_dir": self.output_dir, "method": self.method}
        training = {"data_dir": self.data_dir, "output_dir": self.runs_dir, "scale": self.scale}
        given: dict[str, dict[str, Any]] = {
            "score": {"data_dir": self.data_dir, **scored},
            "subset": {**scored, **kept},
            "sweep": {**training, "subset_file": self.subset_file, **kept},
            "train": {**training, "subset_file": self.subset_file, **kept},
            "eval": {"train_dir": self.runs_dir, "data_dir": self.eval_data_dir, "scale": self.scale, **kept},
        }
        return given[step]

    def arguments(self) -> list[str]:
        """The arguments of `datascaler submit pipeline` that describe it, but for those of its steps."""
        return arguments_of(self, {})
