"""Forecasts of ladders whose law is known: intervals hold what happens, probabilities are what they say."""

import numpy as np
import pytest

from datascaler.forecasting.decide import filter_forecasts, pair_forecasts, verdict_on
from datascaler.forecasting.fit_law import LawForecast, forecast_error
from datascaler.forecasting.law import LadderPoints, effective_samples
from datascaler.forecasting.published import Array
from tests.forecasting.test_law import ladder

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

LADDERS = 300
NOISE = 0.006
"""Standard deviation of a run's log error."""
KEPT = [1.0, 0.5, 0.2]
BINS = 5


class KnownLaw:
    """A sum or a product of powers, with a floor or bent at the small end; its filters lie close together."""

    def __init__(self, generator: np.random.Generator, filters: int, apart: float) -> None:
        def about(middle: float, spread: float, number: int = 1) -> Array:
            return np.asarray(middle * np.exp(spread * generator.standard_normal(number)))

        self.has_floor, self.is_product = generator.integers(2, size=2).astype(bool)
        self.exponents, self.amplitudes = about(0.3, 0.5, 2), about(0.35, 0.3, 2)
        self.quality = self.amplitudes[1] * about(1.0, apart, filters)
        self.floor, self.bends, self.half_life = about(0.08, 0.8), about(0.3, 1.0, 2), about(15.0, 0.5)

    def error(self, points: LadderPoints) -> Array:
        size, seen = points.size, effective_samples(points.samples, points.unique, self.half_life)
        if not self.has_floor:
            size, seen = ((each + bend) / (1 + bend) for each, bend in zip((size, seen), self.bends, strict=True))
        by_size = self.amplitudes[0] * size ** -self.exponents[0]
        by_samples = self.quality[points.filters] * seen ** -self.exponents[1]
        # A product of two amplitudes of about a third is an error of a tenth.
        error = 3 * by_size * by_samples if self.is_product else by_size + by_samples
        return np.asarray(error + (self.floor if self.has_floor else 0))


def ahead_of(seed: int, kept: list[float], apart: float) -> tuple[LawForecast, Array]:
    """3 sizes x 3 budgets of each filter, forecast for 3 times the size and 4 times the samples; and the truth."""
    generator = np.random.default_rng(seed)
    law = KnownLaw(generator, len(kept), apart)
    runs, target = ladder([1, 2, 4], [1, 3, 9], kept, pool=4), ladder([12], [36], kept, pool=36)
    error = np.minimum(law.error(runs), 0.99) * np.exp(NOISE * generator.standard_normal(len(runs.size)))
    return forecast_error(runs, error, target, noise=NOISE / 2, seed=seed), law.error(target)


def test_intervals_and_probabilities_are_calibrated() -> None:
    inside, probabilities, best = [], [], []
    for seed in range(LADDERS):
        ahead, truth = ahead_of(seed, KEPT, apart=0.006)
        accuracy = 1 - np.exp(ahead.draws())
        low, high = np.quantile(accuracy, [0.05, 0.95], axis=0)
        inside.append((low <= 1 - truth) & (1 - truth <= high))
        for each in filter_forecasts(["0", "1", "2"], accuracy, accuracy, knows_level=True):
            probabilities.append(each.best_probability)
            best.append(int(each.filter) == int(np.argmin(truth)))
    print(f"90% intervals hold {np.mean(inside):.3f} of {np.size(inside)}")  # noqa: T201
    assert 0.85 <= np.mean(inside) <= 0.95
    said, came_true = np.array(probabilities), np.array(best, dtype=float)
    for low in np.arange(BINS) / BINS:
        chosen = (said >= low) & (said <= low + 1 / BINS)
        off = came_true[chosen].mean() - said[chosen].mean()
        print(f"{low:.1f}: {chosen.sum()} said {said[chosen].mean():.3f}, {off:+.3f}")  # noqa: T201
        assert abs(off) <= 0.1, (low, chosen.sum(), off)


def test_two_equal_filters_cannot_be_told_apart() -> None:
    ties = 0
    for seed in range(LADDERS):
        ahead, _ = ahead_of(1000 + seed, [0.5, 0.5], apart=0.0)
        accuracy = 1 - np.exp(ahead.draws())
        found = filter_forecasts(["one", "other"], accuracy, accuracy, knows_level=True)
        decision, verdict = verdict_on(found, pair_forecasts(["one", "other"], accuracy, 0.005), 0.005)
        ties += decision == "tie" and "can't be told apart" in verdict
    print(f"{ties} of {LADDERS} ties")  # noqa: T201
    assert ties >= 0.85 * LADDERS
