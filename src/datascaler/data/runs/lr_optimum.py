"""The best learning rate between the points of a grid: the lowest point of a parabola in log2 of the rate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

_NEIGHBOURS = 2
"""Rates on each side of the best that are fitted: further away a loss is no parabola."""
_T_95 = {1: 12.706, 2: 4.303}
_NORMAL_95 = 1.959964
_EDGE = 1e-9


@dataclass(frozen=True, slots=True)
class LrOptimum:
    lr: float
    low: float
    high: float
    """An interval of 95% by the scatter about the parabola; it never leaves the neighbours of the best rate, between
    which the lowest loss is. With three losses, which any parabola meets, it is those neighbours."""
    loss: float
    """The parabola's lowest."""
    points: int
    """Losses that were fitted."""


def fit_optimum(losses: Mapping[float, Sequence[float]]) -> LrOptimum | None:
    """The optimum by a least-squares parabola. None where the best rate is at an end of the grid, or in no valley.

    losses: by learning rate, one a seed.
    """
    means = {lr: fmean(of_seeds) for lr, of_seeds in losses.items() if of_seeds}
    lrs = sorted(means)
    best = min(range(len(lrs)), key=lambda place: means[lrs[place]], default=0)
    if not 0 < best < len(lrs) - 1:
        return None
    near = lrs[max(0, best - _NEIGHBOURS) : best + _NEIGHBOURS + 1]
    x = np.array([np.log2(lr / lrs[best]) for lr in near for _ in losses[lr]])
    y = np.array([loss for lr in near for loss in losses[lr]])
    powers = np.vander(x, 3)
    (a, b, c), *_ = np.linalg.lstsq(powers, y, rcond=None)
    left, right = (float(np.log2(lrs[place] / lrs[best])) for place in (best - 1, best + 1))
    # Losses that are equal but for rounding have no lowest place.
    if not a * min(left**2, right**2) > _EDGE * max(abs(y)):
        return None
    lowest = float(np.clip(-b / (2 * a), left, right))
    low, high = left, right
    if freedom := len(y) - 3:
        scatter = float(((y - powers @ (a, b, c)) ** 2).sum()) / freedom
        # How the lowest place moves with the parabola's coefficients.
        moves = np.array([b / (2 * a * a), -1 / (2 * a), 0.0])
        reach = student_95(freedom) * float(np.sqrt(scatter * (moves @ np.linalg.inv(powers.T @ powers) @ moves)))
        low, high = max(left, lowest - reach), min(right, lowest + reach)
    lr, lowest_lr, highest_lr = (float(lrs[best] * 2**place) for place in (lowest, low, high))
    return LrOptimum(lr, lowest_lr, highest_lr, float(a * lowest**2 + b * lowest + c), len(y))


def student_95(freedom: int) -> float:
    """Student's t for 95% on both sides, to 0.2%: by its series in 1/freedom (Abramowitz and Stegun, 26.7.5)."""
    z = _NORMAL_95
    series = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return _T_95.get(freedom) or z + sum(term / freedom**power for power, term in enumerate(series, start=1))
