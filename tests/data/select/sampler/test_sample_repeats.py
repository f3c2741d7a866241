"""Draws by softmax and the samplers built on them: counts, caps, determinism, and the law of the draws."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from datascaler.data.select.sampler import weighted_draws
from datascaler.data.select.sampler.sample_repeats import sample_repeats
from datascaler.data.select.sampler.weighted_draws import WeightedDraws
from datascaler.errors import ConfigError
from datascaler.spec.sampler import Sampler
from datascaler.tools.philox import uniforms


def normal(count: int, spread: float = 1.0, seed: int = 3) -> NDArray[np.float32]:
    return (np.random.default_rng(seed).normal(size=count) * spread).astype(np.float32)


# ---- draws -----------------------------------------------------------------------------------------------------


def plain_gumbel(logits: NDArray[np.float32], count: int, seed: int, number: int, chunk: int) -> list[int]:
    """Without any cut: the largest of logit + noise."""
    starts = range(0, len(logits), chunk)
    parts = [
        uniforms(min(chunk, len(logits) - start), (seed, number), weighted_draws._PURPOSE + at)
        for at, start in enumerate(starts)
    ]
    keys = logits - np.log(-np.log(np.concatenate(parts)))
    return sorted(np.argsort(-keys)[:count].tolist())


@pytest.mark.parametrize("spread", [0.0, 0.1, 1.0, 10.0, 300.0])
@pytest.mark.parametrize("count", [1, 7, 100, 999, 1000])
def test_the_cut_changes_nothing(monkeypatch: pytest.MonkeyPatch, spread: float, count: int) -> None:
    monkeypatch.setattr(weighted_draws, "_ROWS_AT_A_TIME", 64)
    logits = normal(1000, spread)
    race = WeightedDraws(logits, seed=5)
    for number in range(4):
        rows = race.draw(count, number)
        assert rows.tolist() == plain_gumbel(logits, count, 5, number, 64)
        # Far down, as a penalty does it to what was drawn; the cut has to follow.
        logits[rows[::2]] -= 3
        race.change(rows[::2], logits[rows[::2]])


def test_what_cannot_be_drawn_is_not() -> None:
    logits = normal(50)
    logits[::2] = -np.inf
    race = WeightedDraws(logits, seed=1)
    assert race.draw(25, 0).tolist() == list(range(1, 50, 2))
    with pytest.raises(ValueError, match="can't draw 26 of 50 rows"):
        race.draw(26, 1)


def test_the_draws_follow_the_softmax() -> None:
    logits = np.log(np.array([1, 2, 3, 4], np.float32))
    race = WeightedDraws(logits, seed=2)
    first = np.bincount([int(race.draw(1, number)[0]) for number in range(4000)], minlength=4) / 4000
    assert first == pytest.approx([0.1, 0.2, 0.3, 0.4], abs=0.03)
    # Two without replacement: P(3 is among them) = 0.4 + sum of p_i * 0.4 / (1 - p_i) over the others.
    both = np.mean([3 in race.draw(2, number) for number in range(4000)])
    assert both == pytest.approx(0.4 + sum(p * 0.4 / (1 - p) for p in (0.1, 0.2, 0.3)), abs=0.03)


# ---- samplers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "how",
    [
        {"penalty": 0.15, "batch": 100},
        {"penalty": 0.0, "batch": 70},
        {"penalty": 5.0, "batch": 1000},
        {"max_repeats": 3, "batch": 100},
        {"max_repeats": 2, "batch": 900},
    ],
)
def test_exactly_as_many_draws_as_asked_and_the_better_more_often(how: dict[str, Any]) -> None:
    scores = normal(1000)
    told: list[int] = []
    sampler = Sampler(draws=1950, seed=7, **how)
    counts = sample_repeats(scores, sampler, told.append)
    assert counts.sum() == sum(told) == 1950
    assert counts.min() >= 0
    assert counts.max() <= sampler.batch * len(told)
    if sampler.max_repeats:
        assert counts.max() <= sampler.max_repeats
    assert (counts == sample_repeats(scores, sampler)).all()
    assert (counts != sample_repeats(scores, Sampler(draws=1950, seed=8, **how))).any() or sampler.batch == 1000
    if sampler.batch < 900:
        order = np.argsort(scores)
        assert counts[order[500:]].sum() > 1.3 * counts[order[:500]].sum()


def test_a_soft_cap_spreads_and_a_low_temperature_gathers() -> None:
    scores = normal(2000)

    def distinct(**how: Any) -> int:
        return int(np.count_nonzero(sample_repeats(scores, Sampler(draws=4000, batch=100, **how))))

    assert distinct(penalty=1.0) > distinct(penalty=0.15) > distinct(penalty=0.0)
    assert distinct(penalty=0.15) > distinct(penalty=0.15, temperature=0.3)


def test_a_hard_cap_can_be_filled_to_the_last_row() -> None:
    counts = sample_repeats(normal(40, spread=4), Sampler(draws=120, max_repeats=3, batch=32))
    assert counts.tolist() == [3] * 40


def test_a_strong_penalty_takes_everybody_once_a_round() -> None:
    counts = sample_repeats(normal(300), Sampler(draws=900, penalty=1e4, batch=100))
    assert counts.tolist() == [3] * 300


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ({"draws": 10}, "needs a penalty"),
        ({"draws": 10, "penalty": 0.1, "max_repeats": 2}, "not both"),
        ({"draws": 0, "penalty": 0.1}, "draws must be at least 1, got 0"),
        ({"draws": 10, "penalty": 0.1, "batch": 0}, "batch-size must be at least 1, got 0"),
        ({"draws": 10, "max_repeats": 0}, "max-repeats must be at least 1, got 0"),
        ({"draws": 10, "penalty": -1.0}, "penalty must be at least 0, got -1"),
        ({"draws": 10, "penalty": 0.1, "temperature": 0.0}, "temperature must be above 0, got 0"),
        ({"draws": 10, "penalty": 0.1, "temperature": float("nan")}, "temperature must be above 0, got nan"),
        ({"draws": 10, "penalty": 0.1, "seed": -1}, "seed must be from 0"),
        ({"draws": 10, "penalty": 0.1, "batch": 51}, "a batch of 51 draws without replacement"),
        ({"draws": 101, "max_repeats": 2, "batch": 5}, "50 usable uids with max-repeats 2 give 100 draws at most"),
        ({"draws": 10, "penalty": 0.1, "batch": 5, "temperature": 1e-40}, "temperature 1e-40 is too small"),
    ],
)
def test_samplers_that_cannot_be(how: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        sample_repeats(normal(50), Sampler(**how))
