"""Decisions beside what a count over all draws says."""

import numpy as np
import pytest

from datascaler.forecasting.decide import filter_forecasts, pair_forecasts, rivals_of, verdict_on
from datascaler.forecasting.evidence import Evidence, together
from datascaler.forecasting.published import Array

DRAWS = np.array([[0.30, 0.31, 0.10], [0.34, 0.31, 0.10], [0.30, 0.29, 0.32], [0.40, 0.30, 0.20]])
NAMES = ("a", "b", "c")


def normal(means: list[float], spread: float, seed: int = 0) -> Array:
    generator = np.random.default_rng(seed)
    return np.asarray(np.array(means) + spread * generator.standard_normal((4000, len(means))))


def test_a_count_of_four_draws() -> None:
    first, second, third = filter_forecasts(NAMES, DRAWS, DRAWS, knows_level=True)
    assert (first.filter, second.filter, third.filter) == ("a", "b", "c")
    assert (first.best_probability, second.best_probability, third.best_probability) == (0.5, 0.25, 0.25)
    assert first.expected_regret == pytest.approx((0.01 + 0 + 0.02 + 0) / 4)
    assert third.expected_regret == pytest.approx((0.21 + 0.24 + 0 + 0.20) / 4)
    pairs = {(pair.filter, pair.other): pair for pair in pair_forecasts(NAMES, DRAWS, 0.015)}
    assert pairs["a", "b"].better == 0.75
    assert pairs["a", "b"].beats_by_margin == 0.5
    assert pairs["b", "a"].beats_by_margin == 0.0
    assert len(pairs) == 6


def test_bounds_are_of_single_runs() -> None:
    expected = normal([0.5], 0.01)
    (one,) = filter_forecasts(["a"], expected, normal([0.5], 0.05), knows_level=True)
    assert one.low80 is not None
    assert one.low95 is not None
    assert one.low80 == pytest.approx(0.5 - 1.2816 * 0.05, abs=0.005)
    assert one.low95 == pytest.approx(0.5 - 1.96 * 0.05, abs=0.008)
    (unknown,) = filter_forecasts(["a"], expected, expected, knows_level=False)
    assert (unknown.predicted, unknown.low80, unknown.high95) == (None, None, None)


@pytest.mark.parametrize(
    ("means", "decision", "rivals", "words"),
    [
        ([0.50, 0.40, 0.30], "pick", 0, ["pick a", "more than 99%"]),
        ([0.50, 0.50, 0.30], "tie", 1, ["can't be told apart; c is worse with more than 99%", "either will do"]),
        ([0.50, 0.505, 0.50], "tie", 2, ["b, ", "can't be told apart. b has the least expected regret"]),
    ],
)
def test_verdicts(means: list[float], decision: str, rivals: int, words: list[str]) -> None:
    draws = normal(means, 0.01 if decision == "pick" else 0.004)
    filters, pairs = filter_forecasts(NAMES, draws, draws, knows_level=True), pair_forecasts(NAMES, draws, 0.005)
    found, verdict = verdict_on(filters, pairs, 0.005)
    assert found == decision
    assert all(each in verdict for each in words), verdict
    assert len(rivals_of(filters[0], pairs)) == rivals


def test_several_pieces_are_the_product_of_their_densities() -> None:
    """In one dimension the mean is weighted by precision; where a piece knows no level, only its differences count."""
    law = Evidence("law", normal([0.0, 1.0], 0.3, seed=1), "")
    other = Evidence("transfer", normal([1.0, 1.0], 0.1, seed=2), "")
    drawn = together([law, other], seed=0)
    precision = np.array([1 / 0.3**2, 1 / 0.1**2])
    np.testing.assert_allclose(drawn.mean(0), [precision[1] / precision.sum(), 1.0], atol=0.02)
    np.testing.assert_allclose(drawn.std(0), np.sqrt(1 / precision.sum()), rtol=0.1)
    places = Evidence("transfer", normal([9.0, 9.0], 0.01, seed=3), "", knows_level=False)
    drawn = together([law, places], seed=0)
    assert drawn.mean() == pytest.approx(0.5, abs=0.03)
    assert (drawn[:, 1] - drawn[:, 0]).mean() == pytest.approx(0, abs=0.01)
    np.testing.assert_array_equal(together([law], seed=0), law.draws)
