"""Fitting the law: robust, from many starts, all draws at once; and what its own held-out runs say of it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from datascaler.forecasting.law import Form, LadderPoints, varying
from datascaler.forecasting.published import Array

_STARTS = 12
_STEP = 1e-5
_SETTLED, _IDLE = 1e-4, 2
"""A search ends after so many steps in which no start gets better by more than this part."""
_OF_A_HOLDOUT = (60, 5)
"""Draws and starts."""
_NEAR = np.log(10) / 2
"""Half a decade of compute."""
_HELD_OUT = (1 / 6, 1 / 4, 1 / 3, 1 / 2)
"""Parts of the levels of compute."""
_LEAST_LEVELS = 3
_DOUBT = 4.0
"""Weight of the belief that the law's own uncertainty is right, in holdouts."""
_WORST = 2.0
"""Standard deviations: a holdout farther off counts as this far, for the smallest runs lie where no form fits."""
_LEAST_SPREAD = 1e-3
"""Standard deviations of the logarithm of an error."""


@dataclass(frozen=True, slots=True)
class LawForecast:
    log_error: Array
    """(draws, targets): of the expected error."""
    middle: Array
    """Expected error at each target: the mean of the forms' own, as each counts."""
    run_spread: float
    """Standard deviation of a single run's log error around the law."""
    misfit: float
    """The factor that widens the draws: how far off the law was for the largest runs when it didn't know them."""
    held_out_miss: float = 0.0
    """The same in standard deviations, the middle of its holdouts; 0 where there are too few runs for any."""

    def run_draws(self, generator: np.random.Generator) -> Array:
        """Errors of single runs at the targets: the expected ones, widened by the misfit, with a run's own spread."""
        flat = self.draws()
        return np.exp(flat + self.run_spread * generator.standard_normal(flat.shape))

    def draws(self) -> Array:
        """Log of the expected error, a row a draw, widened by the misfit."""
        middle = np.log(self.middle)
        off = self.log_error - middle
        shared = off.mean(1, keepdims=True)
        # Holdouts that went well say something of the level, not of how far apart filters are.
        widened: Array = middle + self.misfit * shared + max(1.0, self.misfit) * (off - shared)
        return widened


def forecast_error(
    points: LadderPoints,
    error: Array,
    targets: LadderPoints,
    *,
    noise: float = _LEAST_SPREAD,
    draws: int = 200,
    seed: int = 0,
) -> LawForecast:
    """Fit all forms to the runs and carry them to the targets.

    Args:
        points, error: the runs.
        noise: the least standard deviation of a run's log error: over seeds and evaluation samples.
        draws: half as many as there will be.
    """
    forecast = _forecast(points, error, targets, noise, draws, _STARTS, seed)
    scores = _holdouts(points, error, noise, seed)
    counted = [min(score, _WORST**2) for score in scores]
    misfit = float(np.sqrt((_DOUBT + sum(counted)) / (_DOUBT + len(counted))))
    if all(varying(points)):
        # Of two forms that bend apart the truth is near one end. What went well within a ladder of two directions says
        # too little of what lies beyond it: narrowed, 90% intervals held 77% of drawn products, and 91% otherwise.
        misfit = max(1.0, misfit)
    miss = float(np.sqrt(np.median(scores))) if scores else 0.0
    return replace(forecast, misfit=misfit, held_out_miss=miss)


def _forecast(
    points: LadderPoints, error: Array, targets: LadderPoints, noise: float, draws: int, starts: int, seed: int
) -> LawForecast:
    generator = np.random.default_rng(seed)
    products = (False, True) if all(varying(points)) else (False,)
    forms = [Form.of(points, error, saturating=bends, is_product=each) for each in products for bends in (False, True)]
    fits = [_Fit.of(form, points, error, noise, starts, generator) for form in forms]
    weights = _weights(fits)
    counts = np.rint(2 * weights * draws).astype(int)
    # Noise is the runs', whatever the form: the one that fits best shows it.
    noise_of = min(fits, key=lambda fit: fit.sigma)
    drawn = [fit.draw(targets, count, noise_of, generator) for fit, count in zip(fits, counts, strict=True) if count]
    middle = np.average([np.exp(fit.form.log_error(fit.best, targets)) for fit in fits], axis=0, weights=weights)
    spread = float(np.average([fit.run_spread for fit in fits], weights=weights))
    return LawForecast(np.concatenate(drawn), middle, spread, 1.0)


def _weights(fits: Sequence["_Fit"]) -> Array:
    """How much each form counts, in sum 1: products as far as the best of them is likelier than the best sum, and the
    two of a kind alike, for they miss to opposite sides.
    """
    likelihood = np.array([-len(fit.residuals) * np.log(fit.sigma) for fit in fits]).reshape(-1, 2).max(1)
    kinds = np.exp(likelihood - likelihood.max())
    return np.repeat(kinds / kinds.sum() / 2, 2)


def _holdouts(points: LadderPoints, error: Array, noise: float, seed: int) -> list[float]:
    """Hold out the runs of most compute, ever more of them, and compare the largest with what the others say of it.

    Squares, in variances of what they say.
    """
    compute = np.round(np.log(points.compute), 2)
    levels = np.unique(compute)
    largest = compute == levels[-1]
    scores = []
    for held_out in sorted({max(1, int(part * len(levels))) for part in _HELD_OUT}):
        known = compute < levels[-held_out]
        if len(levels) - held_out < _LEAST_LEVELS or set(points.filters[largest]) - set(points.filters[known]):
            continue
        ahead = _forecast(points.where(known), error[known], points.where(largest), noise, *_OF_A_HOLDOUT, seed)
        flat = ahead.draws()
        off = np.log(error[largest]) - np.log(ahead.middle)
        scores.append(float(np.mean(off**2 / (flat.var(0) + ahead.run_spread**2))))
    return scores


@dataclass(frozen=True, slots=True)
class _Fit:
    form: Form
    points: LadderPoints
    best: Array
    """Parameters."""
    distrust: Array
    """The factor by which a run farther than half a decade from the largest may miss more."""
    sigma: float
    """Standard deviation of the log error of the largest runs around the fit, if distrust is right."""
    run_spread: float
    """The same as it is among runs that are near the largest."""
    residuals: Array
    """Misses in units of it, freed from what each run pulled the fit towards itself."""

    @classmethod
    def of(
        cls, form: Form, points: LadderPoints, error: Array, noise: float, starts: int, generator: np.random.Generator
    ) -> "_Fit":
        outcome = np.log(error)
        distance = np.log(points.compute.max() / points.compute) / _NEAR
        distrust = np.sqrt(1 + distance**2)
        begun = form.mean + form.spread * generator.standard_normal((starts, len(form.mean)))
        begun[0] = form.mean
        sigma, steps = 0.02, 40
        for _ in range(4):
            parameters, cost = _minimise(form, points, outcome, sigma * distrust, form.mean, begun, steps)
            order = np.argsort(cost)
            best, begun, steps = parameters[order[0]], parameters[order[:4]], 15
            residuals = (outcome - form.log_error(best, points)) / distrust
            leverage = _leverage(form, points, best, sigma * distrust)
            weights = 1 / np.sqrt(1 + (residuals / sigma) ** 2)
            freedom = max(len(outcome) - leverage.sum(), 1.0)
            before, sigma = sigma, max(float(np.sqrt((weights * residuals**2).sum() / freedom)), noise)
            if abs(np.log(sigma / before)) < 0.05:
                break
        near = 1 / distrust**4
        around = float(np.sqrt((near * (residuals * distrust) ** 2).sum() / near.sum() * len(outcome) / freedom))
        freed = np.clip(residuals / sigma / np.sqrt(np.clip(1 - leverage, 0.1, 1)), -3, 3)
        return cls(form, points, best, distrust, sigma, max(around, noise), freed)

    def draw(self, targets: LadderPoints, draws: int, noise_of: "_Fit", generator: np.random.Generator) -> Array:
        """Log errors at the targets: the fit again and again, to runs and beliefs that might as well have been.

        A bootstrap of the residuals of `noise_of` over runs, topped up to sigma where they are smaller than a run's
        noise; the beliefs are shifted as widely as they are held.
        """
        residuals = noise_of.residuals
        size = (draws, len(residuals))
        noise = generator.choice(residuals, size)
        noise += generator.standard_normal(size) * np.sqrt(max(0.0, 1 - float((residuals**2).mean())))
        spread = noise_of.sigma * self.distrust
        if self.form.by_size and self.form.by_samples:
            # A form that fits all runs alike has no need of distrust, and its largest runs are as noisy as the rest.
            spread = np.maximum(spread, noise_of.run_spread)
        outcome = self.form.log_error(self.best, self.points) + spread * noise
        believed = self.form.mean + self.form.spread * generator.standard_normal((draws, len(self.best)))
        starts = np.broadcast_to(self.best, believed.shape)
        parameters, _ = _minimise(self.form, self.points, outcome, spread, believed, starts, 12)
        drawn = self.form.log_error(parameters, targets)
        # The beliefs' shifts are not symmetric in what they do; the fit itself stays the middle.
        return drawn - np.median(drawn, axis=0) + self.form.log_error(self.best, targets)


def _minimise(
    form: Form, points: LadderPoints, outcome: Array, sigma: Array, believed: Array, starts: Array, steps: int
) -> tuple[Array, Array]:
    """Levenberg and Marquardt's method on all starts at once: soft-L1 of the runs, squares of the beliefs."""
    precision = 1 / form.spread**2

    def cost_of(predicted: Array, parameters: Array) -> Array:
        squares = ((outcome - predicted) / sigma) ** 2
        cost: Array = (2 * (np.sqrt(1 + squares) - 1)).sum(-1) + (((parameters - believed) ** 2) * precision).sum(-1)
        return cost

    parameters = np.array(starts)
    predicted = form.log_error(parameters, points)
    cost = cost_of(predicted, parameters)
    damping = np.full(len(parameters), 1e-2)
    identity = np.eye(parameters.shape[1])
    idle = 0
    for _ in range(steps):
        slopes = _slopes(form, points, parameters, predicted)
        off = (outcome - predicted) / sigma
        weighted = slopes * (1 / np.sqrt(1 + off**2) / sigma**2)[:, None]
        curvature = weighted @ slopes.transpose(0, 2, 1) + identity * precision
        downhill = (weighted @ (outcome - predicted)[..., None])[..., 0] + (believed - parameters) * precision
        diagonal = np.einsum("spp->sp", curvature) * damping[:, None]
        step = np.linalg.solve(curvature + diagonal[:, :, None] * identity, downhill[..., None])[..., 0]
        tried = parameters + np.clip(step, -1, 1)
        tried_predicted = form.log_error(tried, points)
        tried_cost = cost_of(tried_predicted, tried)
        better = tried_cost < cost
        idle = 0 if (cost - tried_cost > _SETTLED * cost).any() else idle + 1
        parameters = np.where(better[:, None], tried, parameters)
        predicted = np.where(better[:, None], tried_predicted, predicted)
        cost = np.where(better, tried_cost, cost)
        damping = np.clip(np.where(better, damping / 3, damping * 4), 1e-9, 1e9)
        if idle == _IDLE:
            break
    return parameters, cost


def _slopes(form: Form, points: LadderPoints, parameters: Array, predicted: Array) -> Array:
    """(starts, parameters, points)"""
    moved = parameters[:, None] + _STEP * np.eye(parameters.shape[1])
    return (form.log_error(moved, points) - predicted[:, None]) / _STEP


def _leverage(form: Form, points: LadderPoints, best: Array, sigma: Array) -> Array:
    """How far each run pulls the fit towards itself."""
    slopes = _slopes(form, points, best[None], form.log_error(best[None], points))[0] / sigma
    curvature = slopes @ slopes.T + np.diag(1 / form.spread**2)
    pull: Array = np.einsum("pn,pq,qn->n", slopes, np.linalg.inv(curvature), slopes)
    return pull
