"""Transfer from published filters, beside a regression that is written out and refitted without each filter in turn."""

import numpy as np
import pytest

from benchmarks.forecast import intervals, order
from datascaler.forecasting.published import METRICS, Array, compute_frontier, datacomp_filters, laion_runs
from datascaler.forecasting.transfer import common_filters, fit_transfer, log_odds, published_features


def plain_ridge(features: Array, outcome: Array, asked: Array) -> Array:
    """By least squares on rows of data and, for the penalty, rows of zeros."""
    center, scale = features.mean(0), features.std(0)
    standard = (features - center) / scale
    rows = np.vstack([standard, np.sqrt(0.3) * np.eye(standard.shape[1])])
    wanted = np.concatenate([outcome - outcome.mean(), np.zeros(standard.shape[1])])
    weights = np.linalg.lstsq(rows, wanted, rcond=None)[0]
    return np.asarray((asked - center) / scale @ weights + outcome.mean())


@pytest.mark.parametrize(("sources", "target"), [(["small"], "medium"), (["small", "medium"], "large")])
@pytest.mark.parametrize("metric", ["imagenet", "average"])
def test_it_is_the_ridge_regression_that_it_says(sources: list[str], target: str, metric: str) -> None:
    names = common_filters(*sources, target)
    features = published_features(names, sources)
    scores = [datacomp_filters()[target][name].scores[METRICS.index(metric)] for name in names]
    outcome = np.log(np.array(scores) / (1 - np.array(scores)))
    without = fit_transfer(sources, target, metric, leave_out=names[:2])
    expected, widening = without.predict(features[:2])
    np.testing.assert_allclose(expected, plain_ridge(features[2:], outcome[2:], features[:2]), rtol=1e-9)
    assert without.filters == len(names) - 2
    assert (widening > 1).all()


def test_residuals_are_of_filters_that_were_left_out() -> None:
    """Nearly: the features' scale stays that of all filters."""
    names = common_filters("small", "medium")
    features = published_features(names, ["small"])
    outcome = log_odds(np.array([datacomp_filters()["medium"][name].scores[0] for name in names]))
    residuals = fit_transfer(["small"], "medium", "imagenet").residuals
    refitted = []
    for place in range(len(names)):
        others = np.arange(len(names)) != place
        refitted.append(outcome[place] - plain_ridge(features[others], outcome[others], features[[place]])[0])
    assert np.corrcoef(residuals, refitted)[0, 1] > 0.99


def test_fewer_metrics_are_wider() -> None:
    all_of_them = fit_transfer(["small"], "large", "imagenet")
    one = fit_transfer(["small"], "large", "imagenet", measured=["average"])
    assert np.std(one.residuals) > np.std(all_of_them.residuals)


def test_published_results_are_as_in_the_papers() -> None:
    filters = {scale: len(rows) for scale, rows in datacomp_filters().items()}
    assert filters == dict(small=63, medium=63, large=32, xlarge=7)  # noqa: C408
    best = datacomp_filters()["xlarge"]["Intersect IN1k image clustering and CLIP L14 score top 30%"]
    assert dict(zip(METRICS, best.scores.tolist(), strict=True))["imagenet"] == 0.792
    assert len(laion_runs()["imagenet"]) == 29
    for family in ("clip", "mammut"):
        compute, error = compute_frontier(family)
        assert (np.diff(compute) > 0).all()
        assert (np.diff(error) < 0).all()


def test_small_runs_choose_for_large_ones_better_than_their_own_order() -> None:
    """As `make bench-forecast` measures it, for the fewest filters."""
    found = order(["small"], "large")
    assert found["decision"] >= 0.80 > found["naive"]
    assert found["brier"] < 0.85 * found["naive_brier"]
    covered = intervals(["small"], "large").mean(0)
    assert 0.85 <= covered[0] <= 0.95
    assert 0.42 <= covered[1] <= 0.58
