"""A report: over which runs, where the page goes, and what it compares."""

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from datascaler.errors import ConfigError
from datascaler.spec.field import about, arguments_of
from datascaler.spec.forecast import ForecastSpec
from datascaler.spec.paths import check_places

_OF_FORECAST = ("target", "target_samples", "target_width", "metric")


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportSpec:
    """The runs at or below some folders, and a page."""

    runs: tuple[str, ...] = field(metadata=about(place="url", argument=True))
    """Folders or URLs of runs of any verb, or folders above them."""
    output: str = field(default="report.html", metadata=about(place="url", written=True))
    baseline: str | None = field(default=None, metadata=about(place="url"))
    """The evaluated run or folder of results that the others are compared with; None is a run of no filter or of a
    random one, where there is one."""
    published: str | None = None
    """The scale of the published baselines; None is that of the runs."""
    target: str | None = None
    """A scale to forecast, besides the forecasts that are found."""
    target_samples: int | None = None
    target_width: Fraction | None = None
    metric: str = "average"
    """What the forecast is about, and the first picture where there is no forecast."""
    pictures: int = 8
    """Samples in each row of a gallery."""
    seed: int = 0
    """What the forecast and the intervals draw with."""

    def __post_init__(self) -> None:
        check_places(self)
        if not self.runs:
            raise ConfigError("give at least one run, or a folder of runs")
        if not self.output.endswith(".html"):
            raise ConfigError(f"output must be an .html file, got {self.output}")
        if not 0 <= self.pictures <= 100:
            raise ConfigError(f"pictures must be between 0 and 100, got {self.pictures}")
        if self.seed < 0:
            raise ConfigError(f"seed must not be negative, got {self.seed}")
        if self.target_width is not None and self.target_samples is None:
            raise ConfigError("target_width says the width of a target: give target_samples beside it")
        self.forecast()

    def forecast(self) -> ForecastSpec | None:
        """The forecast that is asked for."""
        if self.target is None and self.target_samples is None:
            return None
        values: dict[str, Any] = {name: getattr(self, name) for name in _OF_FORECAST}
        return ForecastSpec(runs=self.runs, seed=self.seed, **values)

    def arguments(self) -> list[str]:
        """The arguments of `datascaler report` that describe it; parsed, they are this spec again."""
        first = ["--"] if any(run.startswith("-") for run in self.runs) else []
        return [*arguments_of(self, {"runs": self.runs}), *first, *self.runs]
