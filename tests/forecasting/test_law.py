"""The law: what its terms are worth, and that it finds laws that are known."""

import numpy as np
import pytest

from datascaler.forecasting.fit_law import forecast_error
from datascaler.forecasting.law import Form, LadderPoints, effective_samples, varying
from datascaler.forecasting.published import Array


def ladder(sizes: list[float], budgets: list[float], kept: list[float], pool: float = np.inf) -> LadderPoints:
    """Every combination, for filters that keep these parts of a pool."""
    grid = np.array(
        [(size, seen, share, each) for each, share in enumerate(kept) for size in sizes for seen in budgets]
    )
    unique = np.minimum(grid[:, 1], grid[:, 2] * pool)
    return LadderPoints(grid[:, 0], grid[:, 1], unique, grid[:, 3].astype(np.intp))


def offset_law(points: LadderPoints, quality: Array) -> Array:
    seen = effective_samples(points.samples, points.unique, np.full(1, 15.0))
    return np.asarray(0.15 + 0.3 * points.size**-0.3 + quality[points.filters] * (seen / 1e6) ** -0.4)


def test_repeated_samples_are_worth_less_and_less() -> None:
    unique = np.full(4, 100.0)
    worth = effective_samples(np.array([50.0, 100.0, 400.0, 1e9]), unique, np.full(1, 15.0))
    np.testing.assert_allclose(worth, [50, 100, 100 + 100 * 15 * (1 - np.exp(-3 / 15)), 1600])
    once = effective_samples(np.array([1e9]), np.array([np.inf]), np.full(1, 15.0))
    np.testing.assert_allclose(once, 1e9)


def test_terms_are_those_that_the_runs_can_speak_of() -> None:
    error = np.array([0.9, 0.8, 0.7])
    filters = np.zeros(3, dtype=np.intp)
    one, more = np.ones(3), np.array([1.0, 2.0, 4.0])
    assert varying(LadderPoints(more, one, one, filters)) == (True, False)
    assert varying(LadderPoints(one, one, more, filters)) == (False, True)
    names = Form.of(LadderPoints(one, more, more, filters), error, saturating=True).names
    assert names == ("samples amplitude", "samples exponent", "samples bend")
    repeated = LadderPoints(one, 4 * more, more, np.arange(3))
    assert {"half life", "filter 0", "filter 2"} < set(Form.of(repeated, error, saturating=False).names)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_known_law_is_found(seed: int) -> None:
    generator = np.random.default_rng(seed)
    quality = np.array([0.5, 0.45, 0.6])
    points = ladder([1, 3, 9], [1e6, 3e6, 9e6], [1.0, 0.5, 0.1], pool=4e6)
    error = offset_law(points, quality) * np.exp(0.003 * generator.standard_normal(len(points.size)))
    target = ladder([27], [4e7], [1.0, 0.5, 0.1], pool=4e7)
    ahead = forecast_error(points, error, target, seed=seed)
    truth = offset_law(target, quality)
    np.testing.assert_allclose(ahead.middle, truth, atol=0.03)
    low, high = np.quantile(ahead.run_draws(generator), [0.005, 0.995], axis=0)
    assert ((low < truth) & (truth < high)).all()
    assert (high - low < 0.25).all()
    # The best filter of the pool is not that of a few passes over what is kept.
    assert np.argmin(ahead.middle) == np.argmin(truth)


def test_farther_is_wider() -> None:
    points = ladder([1], [1e6, 2e6, 4e6, 8e6], [1.0])
    error = offset_law(points, np.array([0.5])) * np.exp(0.004 * np.random.default_rng(0).standard_normal(4))
    widths = []
    for seen in (1.6e7, 1.6e8, 1.6e9):
        draws = forecast_error(points, error, ladder([1], [seen], [1.0])).draws()[:, 0]
        widths.append(np.ptp(np.quantile(draws, [0.05, 0.95])))
    assert widths == sorted(widths)
    assert widths[2] > 2 * widths[0]


def test_the_same_runs_give_the_same_forecast() -> None:
    points = ladder([1, 4], [1e6, 4e6], [1.0])
    error = offset_law(points, np.array([0.5]))
    target = ladder([16], [1.6e7], [1.0])
    first, second = (forecast_error(points, error, target, draws=50, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first.log_error, second.log_error)
