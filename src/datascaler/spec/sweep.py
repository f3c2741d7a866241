"""A grid of training runs around one of them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from itertools import product
from math import inf
from typing import Any

from datascaler.errors import ConfigError
from datascaler.spec.field import flag_of, names_where, words_of
from datascaler.spec.numbers import parse_fraction
from datascaler.spec.train import TrainSpec

LR_FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""The default grid: the recipe's learning rate times these."""
AXES: dict[str, str] = names_where(TrainSpec, "axis")
"""A field of the runs -> the field of the sweep that has its values."""
MORE_AXES: dict[str, str] = names_where(TrainSpec, "more_axis")
"""The same for fields that a sweep varies only where it is given their values."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepSpec:
    """Every combination of the axes; an empty one stays at the base's value, but for the learning rate."""

    base: TrainSpec
    """What the points share; on the axes it is the first point."""
    lrs: tuple[float, ...] = ()
    weight_decays: tuple[float, ...] = ()
    warmups: tuple[int, ...] = ()
    batch_sizes: tuple[int, ...] = ()
    init_temperatures: tuple[float, ...] = ()
    seeds: tuple[int, ...] = ()
    stop_above: float = 0.0
    """Give a point up whose loss, at half or three quarters of the run, is more than the best one's by so much (0.2 is
    20%), unless it is the best one's neighbour in learning rate; 0 trains all to their ends."""
    transfer: Fraction | None = None
    """A width that is trained with the optimum once the grid is complete."""

    def __post_init__(self) -> None:
        default = {"lr": tuple(self.base.lr * factor for factor in LR_FACTORS)}
        for name, axis in (AXES | MORE_AXES).items():
            unsaid = default.get(name, (getattr(self.base, name),)) if name in AXES else ()
            # A run's own checks, and its own forms of numbers.
            values = tuple(
                getattr(replace(self.base, **{name: value}), name) for value in tuple(getattr(self, axis)) or unsaid
            )
            object.__setattr__(self, axis, values)
        if not 0 <= self.stop_above < inf:
            raise ConfigError(f"stop_above must not be negative, got {self.stop_above:g}")
        if self.transfer is not None:
            object.__setattr__(self, "transfer", parse_fraction(self.transfer))
            if not self.base.use_mup:
                raise ConfigError("transfer needs use_mup: without muP a wider model has another optimum")
            replace(self.base, width_mult=self.transfer)
        object.__setattr__(self, "base", replace(self.points[0], tag=self.base.tag))
        if len({point.folder for point in self.points}) < len(self.points):
            raise ConfigError("the grid has the same point twice")

    @property
    def varied(self) -> list[str]:
        """The fields of a run of which the grid has values of its own."""
        return [*AXES, *(name for name, axis in MORE_AXES.items() if getattr(self, axis))]

    @property
    def points(self) -> list[TrainSpec]:
        names = self.varied
        values = [getattr(self, (AXES | MORE_AXES)[name]) for name in names]
        return [self._point(dict(zip(names, each, strict=True))) for each in product(*values)]

    def arguments(self) -> list[str]:
        """The arguments of `datascaler sweep` that describe it; parsed, they are this spec again."""
        own = [(each, getattr(self, each.name)) for each in fields(self) if each.name != "base"]
        # The axes of every sweep are always said: else they would be the scale's.
        said = [(each, value) for each, value in own if each.name in AXES.values() or value != each.default]
        return [
            *self.base.arguments(leave_out=AXES),
            *(word for each, value in said for word in words_of(flag_of(each), value)),
        ]

    def _point(self, values: dict[str, Any]) -> TrainSpec:
        point = replace(self.base, **values)
        # The one axis that the name of a run's folder does not say.
        if "batch_size" in values:
            point = replace(point, tag="-".join(filter(None, (self.base.tag, f"b{point.batch_size}"))))
        return point


def grid(
    base: TrainSpec, lrs: Sequence[float] = (), weight_decays: Sequence[float] = (), warmups: Sequence[int] = ()
) -> list[TrainSpec]:
    """The points of a sweep."""
    return SweepSpec(base=base, lrs=tuple(lrs), weight_decays=tuple(weight_decays), warmups=tuple(warmups)).points


def point_arguments(point: TrainSpec, varied: Collection[str] = tuple(AXES)) -> list[str]:
    """The arguments of `datascaler train` in which a point differs from others. Every digit: they name its folder.

    varied: the fields of the grid's axes, as `SweepSpec.varied` has them.
    """
    own = {*varied, *(["tag"] if "batch_size" in varied else [])}
    return [
        word
        for each in fields(point)
        if each.name in own
        for word in words_of(flag_of(each), getattr(point, each.name))
    ]
