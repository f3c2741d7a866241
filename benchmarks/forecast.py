"""Forecasts on published results, beside what happened: whatever is predicted is in no fit and no calibration of it.

Filters: DataComp's table. A pair of filters is ordered by a regression that has seen neither (`decision_...`), against
the order that the smaller scale had (`naive_...`); intervals and probabilities come from such regressions too. The law:
LAION's 29 runs, of which the six of most compute are predicted from the others. The frontier: the best CLIP and MaMMUT
of each compute, from where both pass 50% on ImageNet, predicted at 4 and 16 times the largest compute that was fitted.
The last line is one JSON object; a missed limit ends with exit code 1.

    python -m benchmarks.forecast
"""

import sys
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from benchmarks.verdict import verdict
from datascaler.forecasting.fit_law import forecast_error
from datascaler.forecasting.law import LadderPoints
from datascaler.forecasting.published import METRICS, Array, compute_frontier, datacomp_filters, laion_runs
from datascaler.forecasting.transfer import common_filters, fit_transfer, log_odds, published_features

AT_LEAST = {
    "decision_small_medium": 0.90,
    "decision_small_large": 0.80,
    "decision_two_large": 0.85,
    "brier_gain": 0.15,
    "coverage90": 0.85,
    "coverage50": 0.42,
    "laion_coverage90": 5 / 6,
    "frontier_coverage90": 0.85,
}
AT_MOST = {
    "coverage90": 0.95,
    "coverage50": 0.58,
    "laion_mae_top6": 0.010,
    "frontier_mae_4x": 0.6,
    "frontier_mae_16x": 1.1,
    "frontier_width_4x": 3.0,
    "frontier_width_16x": 7.0,
}
METRIC = "average"
DRAWS = 1000
LAION_HELD_OUT = 6
FAMILIES = ("clip", "mammut")


def main() -> int:
    result = {**filters(), **laion(), **frontier()}
    return verdict({name: round(float(value), 4) for name, value in result.items()}, at_least=AT_LEAST, at_most=AT_MOST)


def filters() -> dict[str, float]:
    medium, large, two = order(["small"], "medium"), order(["small"], "large"), order(["small", "medium"], "large")
    brier, naive = medium["brier"] + large["brier"], medium["naive_brier"] + large["naive_brier"]
    covered = np.vstack([intervals(["small"], "medium"), intervals(["small"], "large")])
    return {
        "decision_small_medium": medium["decision"],
        "naive_small_medium": medium["naive"],
        "decision_small_large": large["decision"],
        "naive_small_large": large["naive"],
        "decision_two_large": two["decision"],
        "brier": brier / 2,
        "naive_brier": naive / 2,
        "brier_gain": 1 - brier / naive,
        "coverage90": covered[:, 0].mean(),
        "coverage50": covered[:, 1].mean(),
    }


def order(sources: list[str], target: str) -> dict[str, float]:
    """Of all pairs that differ at the target: the share in the right order, and Brier scores of the probabilities.

    The naive order is that of the last source; its confidence is the one number that fits these very pairs best.
    """
    names = common_filters(*sources, target)
    features = published_features(names, sources)
    before, after = published(names, sources[-1]), published(names, target)
    generator = np.random.default_rng(0)
    probability, came_true, naive = [], [], []
    for one, other in combinations(range(len(names)), 2):
        if after[one] == after[other]:
            continue
        transfer = fit_transfer(sources, target, METRIC, leave_out=[names[one], names[other]])
        drawn = transfer.draw(features[[one, other]], DRAWS, generator)
        expected, _ = transfer.predict(features[[one, other]])
        probability.append((np.mean(drawn[:, 0] > drawn[:, 1]), np.sign(expected[0] - expected[1])))
        came_true.append(after[one] > after[other])
        naive.append(np.sign(before[one] - before[other]))
    truth = np.array(came_true, dtype=float)
    chances, signs = np.array(probability).T
    right = np.abs(truth - (np.array(naive) + 1) / 2)
    confidences = [
        np.mean(np.where(right == 0.5, 0.5, np.abs(right - share)) ** 2) for share in np.linspace(0, 0.5, 501)
    ]
    return {
        "decision": accuracy(signs, truth),
        "naive": accuracy(np.array(naive), truth),
        "brier": float(np.mean((chances - truth) ** 2)),
        "naive_brier": float(min(confidences)),
    }


def accuracy(signs: Array, truth: Array) -> float:
    """A tie of the prediction is right by half."""
    return float(1 - np.abs((signs + 1) / 2 - truth).mean())


def intervals(sources: list[str], target: str) -> NDArray[np.bool_]:
    """A row a filter: whether its result lies within the 90% and the 50% interval that was made without it."""
    names = common_filters(*sources, target)
    features = published_features(names, sources)
    after = log_odds(published(names, target))
    generator = np.random.default_rng(0)
    inside = []
    for place, name in enumerate(names):
        drawn = fit_transfer(sources, target, METRIC, leave_out=[name]).draw(features[[place]], 4 * DRAWS, generator)
        low90, low50, high50, high90 = np.quantile(drawn, [0.05, 0.25, 0.75, 0.95])
        inside.append([low90 <= after[place] <= high90, low50 <= after[place] <= high50])
    return np.array(inside)


def published(names: list[str], scale: str) -> Array:
    return np.array([datacomp_filters()[scale][name].scores[METRICS.index(METRIC)] for name in names])


def laion() -> dict[str, float]:
    runs = laion_runs()
    number = len(runs["gmacs"])
    points = LadderPoints(runs["gmacs"], runs["samples_seen"], runs["unique_samples"], np.zeros(number, dtype=np.intp))
    error = 1 - runs["imagenet"]
    known = np.arange(number) < number - LAION_HELD_OUT
    ahead = forecast_error(points.where(known), error[known], points.where(~known))
    low, high = np.quantile(ahead.run_draws(np.random.default_rng(0)), [0.05, 0.95], axis=0)
    truth = error[~known]
    return {
        "laion_mae_top6": np.abs(ahead.middle - truth).mean(),
        "laion_coverage90": np.mean((low <= truth) & (truth <= high)),
        "laion_width": np.mean(high - low),
    }


def frontier() -> dict[str, float]:
    """Errors and widths in points of ImageNet; the coverage is that of both distances."""
    result: dict[str, float] = {}
    inside = []
    for times in (4, 16):
        off, widths = [], []
        for family in FAMILIES:
            compute, error = compute_frontier(family)
            for largest in cutoffs(compute[-1] / times):
                middle, low, high = at_compute(compute, error, largest, times)
                truth = np.exp(np.interp(np.log(largest * times), np.log(compute), np.log(error)))
                off.append(100 * abs(middle - truth))
                widths.append(100 * (high - low))
                inside.append(low <= truth <= high)
        result |= {f"frontier_mae_{times}x": float(np.mean(off)), f"frontier_width_{times}x": float(np.mean(widths))}
    return {**result, "frontier_coverage90": float(np.mean(inside)), "frontier_forecasts": len(inside)}


def cutoffs(last: float) -> Array:
    """Compute up to which runs are known: half an octave apart, from where both families pass 50%."""
    halves = [compute[np.argmax(error < 0.5)] for compute, error in map(compute_frontier, FAMILIES)]
    steps = int(np.floor(2 * np.log2(last / max(halves))))
    return np.array(max(halves) * 2 ** (np.arange(steps + 1) / 2))


def at_compute(compute: Array, error: Array, largest: float, times: int) -> tuple[float, float, float]:
    known = compute <= largest
    one = np.ones(known.sum())
    points = LadderPoints(compute[known], one, one, np.zeros(known.sum(), dtype=np.intp))
    target = LadderPoints(np.array([largest * times]), np.ones(1), np.ones(1), np.zeros(1, dtype=np.intp))
    ahead = forecast_error(points, error[known], target)
    low, high = np.exp(np.quantile(ahead.draws()[:, 0], [0.05, 0.95]))
    return float(ahead.middle[0]), float(low), float(high)


if __name__ == "__main__":
    sys.exit(main())
