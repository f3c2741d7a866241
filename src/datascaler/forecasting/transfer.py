"""Transfer from published filters: what a filter's small results say of a larger scale, learnt from DataComp's table.

A ridge regression of the metric at the target (its log-odds) on the logs of several metrics at the sources and on the
kept fraction: ImageNet has more signal per run than the average of 38, and filters that keep little fall behind as
scales grow. Its own leave-one-out residuals are the uncertainty, so that a forecast is as wide as such forecasts were
wrong.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from datascaler.forecasting.published import METRICS, Array, PublishedFilter, datacomp_filters

_PENALTY = 0.3
"""The ridge's penalty for standardised features; 1 and 3 give nearly the same."""


def log_odds(share: Array) -> Array:
    """The log-odds of shares, which are kept away from 0 and 1."""
    inside = np.clip(share, 1e-6, 1 - 1e-6)
    odds: Array = np.log(inside / (1 - inside))
    return odds


def features_of(scores: Array, kept_fraction: Array) -> Array:
    """Rows of the regression. scores: a row a filter, the metrics of each source side by side."""
    kept = np.log(kept_fraction)[:, None]
    return np.hstack([np.log(np.clip(scores, 1e-4, 1)), kept, kept**2])


@dataclass(frozen=True, slots=True)
class Transfer:
    """A fitted regression from scales to a larger one."""

    sources: tuple[str, ...]
    target: str
    filters: int
    """That it was learnt from."""
    _center: Array
    _scale: Array
    _inverse: Array
    """The inverse of the penalised normal matrix."""
    _weights: Array
    _mean: float
    residuals: Array
    """Left-out residuals of the learnt filters, each divided by how uncertain its place made it."""

    def predict(self, features: Array) -> tuple[Array, Array]:
        """Log-odds of the metric at the target, and by how much the residuals are to be multiplied there."""
        standard = (features - self._center) / self._scale
        leverage = 1 / self.filters + np.einsum("ij,jk,ik->i", standard, self._inverse, standard)
        return standard @ self._weights + self._mean, np.sqrt(1 + leverage)

    def draw(self, features: Array, draws: int, generator: np.random.Generator) -> Array:
        """Log-odds at the target: a row a draw, a column a filter."""
        expected, widening = self.predict(features)
        size = (draws, len(expected))
        residuals = generator.choice(self.residuals, size) * generator.choice([-1.0, 1.0], size)
        drawn: Array = expected + widening * residuals
        return drawn


def fit_transfer(
    sources: Sequence[str],
    target: str,
    metric: str,
    *,
    measured: Sequence[str] = METRICS,
    leave_out: Sequence[str] = (),
) -> Transfer:
    """Learn from every published filter that has results at all these scales.

    Args:
        sources: the scales that results are known of.
        target: the scale of the forecast.
        metric: one of METRICS, at the target.
        measured: those of METRICS that are known at the sources.
        leave_out: filters that must not be learnt from.
    """
    names = [name for name in common_filters(*sources, target) if name not in leave_out]
    features = published_features(names, sources, measured)
    at_target = [datacomp_filters()[target][name].scores[METRICS.index(metric)] for name in names]
    outcome = log_odds(np.array(at_target))
    center, scale = features.mean(0), features.std(0)
    standard = (features - center) / scale
    inverse = np.linalg.inv(standard.T @ standard + _PENALTY * np.eye(standard.shape[1]))
    mean = float(outcome.mean())
    weights = inverse @ standard.T @ (outcome - mean)
    leverage = 1 / len(names) + np.einsum("ij,jk,ik->i", standard, inverse, standard)
    left_out = (outcome - mean - standard @ weights) / (1 - leverage)
    return Transfer(
        sources=tuple(sources),
        target=target,
        filters=len(names),
        _center=center,
        _scale=scale,
        _inverse=inverse,
        _weights=weights,
        _mean=mean,
        residuals=left_out / np.sqrt(1 + leverage),
    )


def common_filters(*scales: str) -> list[str]:
    """The published filters that have results at all of these scales."""
    table = datacomp_filters()
    return [name for name in table[scales[-1]] if all(name in table[scale] for scale in scales)]


def published_features(names: Sequence[str], sources: Sequence[str], measured: Sequence[str] = METRICS) -> Array:
    """Those of published filters."""
    columns = [METRICS.index(name) for name in measured]
    rows: list[list[PublishedFilter]] = [[datacomp_filters()[scale][name] for scale in sources] for name in names]
    scores = np.array([np.concatenate([each.scores[columns] for each in row]) for row in rows])
    return features_of(scores, np.array([row[0].kept_fraction for row in rows]))
