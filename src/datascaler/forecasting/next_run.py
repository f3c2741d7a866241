"""The cheapest next run that would most reduce the expected regret, and its cost in A100-hours."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache

import numpy as np

from datascaler.forecasting.evidence import Ladder, Target, size_of
from datascaler.forecasting.noise import Noise
from datascaler.forecasting.published import Array
from datascaler.forecasting.transfer import fit_transfer
from datascaler.spec.cost import a100_hours
from datascaler.tools.random_streams import random_stream

_LARGER = (2, 4, 10)
"""Times the samples of the largest runs."""
_WORTH_IT = 0.5
"""A cheaper run is preferred if it does so much of what the best one does."""
_DECADES_OF_LARGE = 1.44
"""How many decades of compute lie between DataComp's medium and large."""
_DRAWS = 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class NextRun:
    filters: tuple[str, ...]
    arch: str
    width_mult: str
    samples: int
    """Samples that each run sees."""
    seed: int
    why: str
    a100_hours: float | None
    """The cost of all of them; None for an architecture whose operations nobody counted."""
    regret_before: float
    regret_after: float
    """Expected, with the runs in hand."""


def cheapest_next_run(
    ladder: Ladder, target: Target, rivals: Sequence[str], expected: Array, noise: Noise
) -> NextRun | None:
    """One more seed of each rival at the largest point, or a larger run of each; None where neither would help.

    expected: draws of the metric, (draws, filters).
    """
    points = ladder.common_points()
    if len(rivals) < 2 or not points:
        return None
    arch, width, samples = points[-1]
    chosen = [ladder.filters.index(name) for name in rivals]
    covariance = np.atleast_2d(np.cov(expected.T))
    # From log-odds to the metric, at the target's level.
    slope = float(np.mean(expected[:, chosen]) * (1 - np.mean(expected[:, chosen])))
    seeds = min(len(ladder.at(name, points[-1])) for name in rivals)
    used = [run.spec.seed for run in ladder.runs if run.point == points[-1]]
    before = float(np.mean(expected.max(1)) - expected.mean(0).max())
    noisy = noise.spread**2
    removed = np.minimum(noisy / seeds - noisy / (seeds + 1), np.diag(covariance)[chosen] / 2)
    informed = np.zeros_like(covariance)
    informed[chosen, chosen] = removed
    options = [
        NextRun(
            filters=tuple(rivals),
            arch=arch,
            width_mult=str(width),
            samples=samples,
            seed=max(used) + 1,
            why=f"one more seed at the largest runs that all have ({seeds} so far)",
            a100_hours=_hours(arch, width, samples, len(rivals)),
            regret_before=before,
            regret_after=max(0.0, before - _gain(expected.mean(0), informed)),
        )
    ]
    for times in _LARGER:
        larger = samples * times
        growth = size_of(target.arch, target.width_mult) * target.samples / (size_of(arch, width) * larger)
        if growth < 1 or larger > target.samples:
            continue
        off = noisy + slope**2 * _transfer_variance() * np.log10(growth) / _DECADES_OF_LARGE
        options.append(
            replace(
                options[0],
                samples=larger,
                seed=min(used),
                why=f"a larger proxy, {times} times the samples of the largest runs that all have",
                a100_hours=_hours(arch, width, larger, len(rivals)),
                regret_after=max(0.0, before - _gain(expected.mean(0), _learnt(covariance, chosen, off))),
            )
        )
    return _best_buy(options, size=size_of(arch, width))


def _best_buy(options: Sequence[NextRun], size: float) -> NextRun | None:
    """The most regret for an hour, among those that do at least half of what the best does."""
    gains = [option.regret_before - option.regret_after for option in options]
    if max(gains) <= 0:
        return None
    good = [place for place, gain in enumerate(gains) if gain >= _WORTH_IT * max(gains)]
    return options[min(good, key=lambda place: options[place].samples * size / gains[place])]


def _learnt(covariance: Array, chosen: Sequence[int], variance: float) -> Array:
    """Covariance of what the means would become after a measurement of each chosen filter with that variance."""
    seen = covariance[:, chosen]
    moved: Array = seen @ np.linalg.solve(seen[chosen] + variance * np.eye(len(chosen)), seen.T)
    return moved


def _gain(mean: Array, informed: Array) -> float:
    """How much better the choice gets on average, when the means move as widely as that."""
    generator = random_stream(0, "gain")
    moved = generator.multivariate_normal(mean, (informed + informed.T) / 2, _DRAWS)
    # Less the same draws' own mean, so that chance does not look like gain.
    return float(np.mean(moved.max(1)) - moved.mean(0).max())


@cache
def _transfer_variance() -> float:
    """The variance of log-odds at large, where medium is known."""
    return float(np.mean(np.square(fit_transfer(["medium"], "large", "average").residuals)))


def _hours(arch: str, width: Fraction, samples: int, runs: int) -> float | None:
    hours = a100_hours(arch, width, samples)
    return None if hours is None else runs * hours
