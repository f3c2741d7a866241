"""The optimum of a grid of learning rates, on valleys whose lowest place is known."""

import numpy as np
import pytest

from datascaler.data.runs.lr_optimum import fit_optimum, student_95


def losses_of(
    places: range, lowest: float, *, noise: float = 0.0, seed: int = 0, seeds: int = 1
) -> dict[float, list[float]]:
    """A parabola in log2 of the rate, at rates of 2^place, some losses each."""
    draw = np.random.default_rng(seed)
    valley = {place: 1.5 + 0.2 * (place - lowest) ** 2 for place in places}
    return {2.0**place: [loss + noise * float(draw.normal()) for _ in range(seeds)] for place, loss in valley.items()}


def one_each(losses: dict[float, float]) -> dict[float, list[float]]:
    return {lr: [loss] for lr, loss in losses.items()}


@pytest.mark.parametrize("lowest", [-10.0, -10.4, -9.7, -9.51])
@pytest.mark.parametrize("places", [range(-12, -7), range(-13, -8), range(-11, -8)])
def test_a_parabola_is_found_again(lowest: float, places: range) -> None:
    found = fit_optimum(losses_of(places, lowest))
    assert found is not None
    assert np.log2(found.lr) == pytest.approx(lowest, abs=1e-6)
    assert found.loss == pytest.approx(1.5, abs=1e-9)
    if found.points > 3:
        assert np.log2(found.high / found.low) < 1e-3
    else:
        assert (np.log2(found.low), np.log2(found.high)) == (round(lowest) - 1, round(lowest) + 1)


@pytest.mark.parametrize("seeds", [1, 3])
def test_the_interval_holds_the_truth_about_as_often_as_it_says(seeds: int) -> None:
    rounds = 400
    grid = range(-13, -6)
    fits = [fit_optimum(losses_of(grid, -9.8, noise=0.05, seed=seed, seeds=seeds)) for seed in range(rounds)]
    held = [fit.low <= 2**-9.8 <= fit.high for fit in fits if fit]
    assert len(held) > 0.98 * rounds
    assert 0.90 < sum(held) / len(held) <= 1


@pytest.mark.parametrize(
    "losses",
    [
        {},
        {1e-3: 2.0},
        {1e-3: 2.0, 2e-3: 1.0},
        {1e-3: 1.0, 2e-3: 2.0, 4e-3: 3.0},
        {1e-3: 3.0, 2e-3: 2.0, 4e-3: 1.0},
        {1e-3: 2.0, 2e-3: 2.0, 4e-3: 2.0},
    ],
    ids=str,
)
def test_an_end_of_the_grid_and_a_plain_are_no_optimum(losses: dict[float, float]) -> None:
    assert fit_optimum(one_each(losses)) is None


def test_the_valleys_of_a_published_kind_of_table() -> None:
    """SP and muP at width 256 of a small CLIP: far points, where training fails, do not move the optimum by a step."""
    standard = {2.0**-12: 1.014, 2.0**-11: 0.774, 2.0**-10: 1.631, 2.0**-9: 3.701, 2.0**-8: 4.159}
    mup = {2.0**-12: 1.169, 2.0**-11: 0.660, 2.0**-10: 0.496, 2.0**-9: 0.774, 2.0**-8: 2.759}
    for losses, best in ((standard, -11), (mup, -10)):
        found = fit_optimum(one_each(losses))
        assert found is not None
        assert abs(np.log2(found.lr) - best) <= 1
        assert found.low <= found.lr <= found.high


def test_more_seeds_make_the_optimum_surer() -> None:
    widths = [
        np.mean([np.log2(fit.high / fit.low) for seed in range(60) if (fit := fit_optimum(noisy(seed, seeds)))])
        for seeds in (1, 4)
    ]
    assert widths[1] < 0.4 * widths[0]


def noisy(seed: int, seeds: int) -> dict[float, list[float]]:
    return losses_of(range(-13, -6), -9.8, noise=0.02, seed=seed, seeds=seeds)


def test_students_t_is_that_of_the_tables() -> None:
    for freedom, wanted in ((1, 12.706), (2, 4.303), (3, 3.182), (5, 2.571), (10, 2.228), (17, 2.110), (120, 1.980)):
        assert student_95(freedom) == pytest.approx(wanted, rel=2e-3)
