"""The law: error against model size, samples seen and unique samples, in four forms, with what is believed beforehand.

    offset      error = floor + A size^-a + B samples^-b       or  floor + A size^-a samples^-b
    saturating  error = A (size + s)^-a + B (samples + t)^-b   or  A (size + s)^-a (samples + t)^-b

`offset` bends at the large end, `saturating` at the small one. On published runs each alone misses what lies ahead, to
opposite sides, so a forecast takes half of its draws from each. In a sum, size and samples each set a limit of their
own; a product has none such, and counts as far as runs that differ in both say that it is the likelier one. Samples
seen count less once they repeat: D seen of U unique ones are worth U + U R (1 - exp(-(D/U - 1)/R)), Muennighoff et al.,
arXiv 2305.16264. A filter has its own B (or A, where only the size differs, or in a product), drawn towards the
others'; all else is shared.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from datascaler.forecasting.published import Array

_EXPONENT = (0.3, 0.7)
"""The exponents of size and of samples, median and spread of the logarithm: published laws have 0.2 to 0.8."""
_HALF_LIFE = (15.0, 0.7)
"""Passes after which repeated samples are worth little: 15 for text (arXiv 2305.16264), 23 in LAION's runs."""
_FLOOR = (0.3, 1.0)
"""The floor, as a part of the least error that was seen."""
_BEND = (0.3, 1.5)
"""Where saturation sets in, as a part of the smallest size and the fewest samples."""
_AMPLITUDE_SPREAD = 1.0
_FILTER_SPREAD = 0.4
_VARIES = 0.05
"""A logarithm that spans less is one value."""
_REPEATED = 1.5
"""Passes above which repetition is fitted."""


@dataclass(frozen=True, slots=True)
class LadderPoints:
    """Where runs stand: an entry a run, or one a filter for a target."""

    size: Array
    """Multiply-adds of one forward, or any multiple of them."""
    samples: Array
    unique: Array
    filters: NDArray[np.intp]
    """Which filter, counted from 0."""

    def where(self, chosen: NDArray[np.bool_]) -> "LadderPoints":
        return LadderPoints(self.size[chosen], self.samples[chosen], self.unique[chosen], self.filters[chosen])

    @property
    def compute(self) -> Array:
        return self.size * self.samples


@dataclass(frozen=True, slots=True)
class Form:
    """One form of the law for given runs: which terms it has, and its parameters, all of them logarithms."""

    saturating: bool
    is_product: bool
    by_size: bool
    by_samples: bool
    unit: tuple[float, float]
    """Size and samples that count as 1: the middle of the runs."""
    names: tuple[str, ...]
    mean: Array
    spread: Array
    """What is believed of the parameters before any run."""

    @classmethod
    def of(cls, points: LadderPoints, error: Array, *, saturating: bool, is_product: bool = False) -> Self:
        """The form with the terms that these runs can say anything about."""
        by_size, by_samples = varying(points)
        unit = (_middle(points.size), _middle(points.samples))
        terms = 1 if is_product else max(1, by_size + by_samples)
        amplitude = _middle(error) * (1.0 if saturating else 0.7) / terms
        beliefs: dict[str, tuple[float, float]] = {}
        if not saturating:
            beliefs["floor"] = (_FLOOR[0] * error.min(), _FLOOR[1])
        smallest = (points.size.min() / unit[0], points.samples.min() / unit[1])
        for name, has_term, least in zip(("size", "samples"), (by_size, by_samples), smallest, strict=True):
            if has_term:
                if name == "samples" or not is_product:
                    beliefs[f"{name} amplitude"] = (amplitude, _AMPLITUDE_SPREAD)
                beliefs[f"{name} exponent"] = _EXPONENT
                if saturating:
                    beliefs[f"{name} bend"] = (_BEND[0] * least, _BEND[1])
        if by_samples and (points.samples > _REPEATED * points.unique).any():
            beliefs["half life"] = _HALF_LIFE
        if (filters := int(points.filters.max()) + 1) > 1:
            beliefs |= {f"filter {number}": (1.0, _FILTER_SPREAD) for number in range(filters)}
        mean, spread = np.array(list(beliefs.values())).T
        return cls(saturating, is_product, by_size, by_samples, unit, tuple(beliefs), np.log(mean), spread)

    def log_error(self, parameters: Array, points: LadderPoints) -> Array:
        """(..., parameters) -> (..., points)"""
        values = {name: np.exp(parameters[..., [place]]) for place, name in enumerate(self.names)}
        own = np.ones(1)
        if "filter 0" in values:
            own = np.exp(parameters[..., self.names.index("filter 0") + points.filters])
        error = values.get("floor", np.zeros(1))
        size = self._power("size", points.size / self.unit[0], values) if self.by_size else np.zeros(1)
        if self.is_product:
            own = own * size
        elif self.by_size:
            error = error + values["size amplitude"] * size * (1 if self.by_samples else own)
        if self.by_samples:
            seen = effective_samples(points.samples, points.unique, values.get("half life", np.full(1, _HALF_LIFE[0])))
            error = error + values["samples amplitude"] * self._power("samples", seen / self.unit[1], values) * own
        log_error: Array = np.log(error)
        return log_error

    def _power(self, name: str, amount: Array, values: dict[str, Array]) -> Array:
        if self.saturating:
            bend = values[f"{name} bend"]
            amount = (amount + bend) / (1 + bend)
        power: Array = amount ** -values[f"{name} exponent"]
        return power


def varying(points: LadderPoints) -> tuple[bool, bool]:
    """Whether the runs differ in size, and whether in samples (seen or unique)."""
    spans = [bool(np.ptp(np.log(amount)) > _VARIES) for amount in (points.size, points.samples, points.unique)]
    return spans[0], spans[1] or spans[2]


def effective_samples(seen: Array, unique: Array, half_life: Array) -> Array:
    """How many samples, each seen once, those seen are worth."""
    repeats = np.maximum(seen / unique - 1, 0)
    worth: Array = np.minimum(seen, unique) * (1 - half_life * np.expm1(-repeats / half_life))
    return worth


def _middle(amounts: Array) -> float:
    return float(np.exp(np.log(amounts).mean()))
