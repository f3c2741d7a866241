"""A ladder: small runs of several filters at several widths and budgets, from which the full size is forecast."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from fractions import Fraction
from itertools import product
from typing import Any

from datascaler.errors import ConfigError
from datascaler.spec.field import about, arguments_of, flag_of, words_of
from datascaler.spec.forecast import ForecastSpec
from datascaler.spec.paths import check_places
from datascaler.spec.train import TrainSpec

LADDER_STEPS = ("train", "eval", "report")
WHOLE_POOL = "none"
"""Among the subset files: no filter."""
_OF_POINT = ("subset_file", "width_mult", "seed")
NOT_SHARED = (*_OF_POINT, "method", "fraction")
"""Fields that are another for each run. Its pod takes method and fraction from the subset's recipe."""
_OF_FORECAST = ("target", "target_samples", "target_width")


@dataclass(frozen=True, kw_only=True, slots=True)
class LadderSpec:
    """Every filter at every width with every seed, for every budget; then their evaluation, and the page."""

    data_dir: str = field(metadata=about(place="url"))
    output_dir: str = field(metadata=about(place="url", written=True))
    """Runs lie in `runs/`, the page is `forecast.html`."""
    scale: str
    subset_files: tuple[str, ...]
    """A filter each; none is the whole pool. That they are URLs is seen to where they are of a run."""
    width_mults: tuple[Fraction, ...] = (Fraction(1),)
    branch_at: tuple[int, ...] = ()
    """Budgets of samples; several share a trunk, by schedule wsd. Empty is the scale's one."""
    seeds: tuple[int, ...] = (0,)
    eval_data_dir: str = field(metadata=about(place="url"))
    target: str | None = None
    """What is forecast: a scale, or samples and width."""
    target_samples: int | None = None
    target_width: Fraction | None = None
    logs: str | None = field(default=None, metadata=about(place="url", written=True))
    """Where the steps' logs go; None is `logs/` of output_dir."""

    def __post_init__(self) -> None:
        check_places(self)
        for name in ("subset_files", "width_mults", "seeds"):
            values = getattr(self, name)
            if not values:
                raise ConfigError(f"{name} is empty: give at least one")
            if len(set(values)) < len(values):
                raise ConfigError(f"{name} has the same value twice: {', '.join(map(str, values))}")
        if min(self.width_mults) <= 0:
            raise ConfigError(f"width_mults must be above 0, got {min(self.width_mults)}")
        ForecastSpec(runs=(self.runs_dir,), **self._forecast())

    @property
    def runs_dir(self) -> str:
        return f"{self.output_dir.rstrip('/')}/runs"

    @property
    def page(self) -> str:
        return f"{self.output_dir.rstrip('/')}/forecast.html"

    @property
    def logs_dir(self) -> str:
        return self.logs or f"{self.output_dir.rstrip('/')}/logs"

    def given_to(self, step: str) -> dict[str, Any]:
        """Fields of the step's spec: where it finds what the one before it left, and what it makes of that."""
        given: dict[str, dict[str, Any]] = {
            "train": {
                "data_dir": self.data_dir,
                "output_dir": self.runs_dir,
                "scale": self.scale,
                "branch_at": self.branch_at or None,
                "schedule": "wsd" if len(self.branch_at) > 1 else None,
                # One learning rate for all widths is right from one base width only.
                "min_width_mult": min(self.width_mults),
            },
            "eval": {"train_dir": self.runs_dir, "data_dir": self.eval_data_dir},
            "report": {"runs": (self.runs_dir,), "output": self.page, **self._forecast()},
        }
        return given[step]

    def grid(self, filters: Sequence[TrainSpec]) -> "LadderGrid":
        """The runs. filters: one of each, in the order of `subset_files`."""
        points = product(filters, self.width_mults, self.seeds)
        return LadderGrid(tuple(replace(one, width_mult=width, seed=seed) for one, width, seed in points))

    def arguments(self) -> list[str]:
        """The arguments of `datascaler submit forecast` that describe it, but for those of its steps."""
        return arguments_of(self, {})

    def _forecast(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _OF_FORECAST}


@dataclass(frozen=True, slots=True)
class LadderGrid:
    """The training runs of a ladder, each of them all budgets of a filter at a width with a seed."""

    points: tuple[TrainSpec, ...]

    def __post_init__(self) -> None:
        known: dict[str, TrainSpec] = {}
        for point in self.points:
            other = known.setdefault(point.folder, point)
            if other is not point:
                raise ConfigError(
                    f"{other.subset_file} and {point.subset_file} are both called {point.subset_name}, so that their "
                    "runs would share folders: keep another fraction, or choose by another method"
                )

    @property
    def base(self) -> TrainSpec:
        return self.points[0]


def ladder_arguments(point: TrainSpec) -> list[str]:
    """The arguments of `datascaler train` in which a run of the ladder differs from others."""
    own = (each for each in fields(point) if each.name in _OF_POINT)
    return [word for each in own for word in words_of(flag_of(each), getattr(point, each.name))]
