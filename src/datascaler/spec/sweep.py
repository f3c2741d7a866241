"""A grid of training runs around one of them."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import product
from typing import Any

from datascaler.errors import ConfigError
from datascaler.spec.field import flag_of, names_where, words_of
from datascaler.spec.train import TrainSpec

LR_FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""The default grid: the recipe's learning rate times these."""
AXES: dict[str, str] = names_where(TrainSpec, "axis")
"""A field of the runs -> the field of the sweep that has its values."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepSpec:
    """Every combination of the axes; an empty one stays at the base's value, but for the learning rate."""

    base: TrainSpec
    """What the points share; on the axes it is the first point."""
    lrs: tuple[float, ...] = ()
    weight_decays: tuple[float, ...] = ()
    warmups: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        default = {"lr": tuple(self.base.lr * factor for factor in LR_FACTORS)}
        for name, axis in AXES.items():
            values = tuple(getattr(self, axis)) or default.get(name, (getattr(self.base, name),))
            # A run's own checks, and its own forms of numbers.
            values = tuple(getattr(replace(self.base, **{name: value}), name) for value in values)
            object.__setattr__(self, axis, values)
        object.__setattr__(self, "base", self.points[0])
        if len({point.folder for point in self.points}) < len(self.points):
            raise ConfigError("the grid has the same point twice")

    @property
    def points(self) -> list[TrainSpec]:
        return [replace(self.base, **dict(zip(AXES, values, strict=True))) for values in product(*self._axes())]

    def arguments(self) -> list[str]:
        """The arguments of `datascaler sweep` that describe it; parsed, they are this spec again."""
        axes = [words_of("--" + axis.replace("_", "-"), getattr(self, axis)) for axis in AXES.values()]
        return [*self.base.arguments(leave_out=AXES), *(word for words in axes for word in words)]

    def _axes(self) -> list[tuple[Any, ...]]:
        return [getattr(self, axis) for axis in AXES.values()]


def grid(
    base: TrainSpec, lrs: Sequence[float] = (), weight_decays: Sequence[float] = (), warmups: Sequence[int] = ()
) -> list[TrainSpec]:
    """The points of a sweep."""
    return SweepSpec(base=base, lrs=tuple(lrs), weight_decays=tuple(weight_decays), warmups=tuple(warmups)).points


def point_arguments(point: TrainSpec) -> list[str]:
    """The arguments of `datascaler train` in which a point differs from others. Every digit: they name its folder."""
    own = (each for each in fields(point) if each.name in AXES)
    return [word for each in own for word in words_of(flag_of(each), getattr(point, each.name))]
