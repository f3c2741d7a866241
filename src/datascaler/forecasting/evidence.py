"""Pieces of evidence, each usable alone, as draws of each filter's log-odds at the target; and several together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from datascaler.forecasting.fit_law import forecast_error
from datascaler.forecasting.ladder import LadderRun
from datascaler.forecasting.law import LadderPoints, varying
from datascaler.forecasting.noise import Noise
from datascaler.forecasting.published import METRICS, Array
from datascaler.forecasting.transfer import Transfer, features_of, fit_transfer, log_odds
from datascaler.spec.cost import operations_per_sample
from datascaler.spec.scales import SCALES, Scale
from datascaler.tools.random_streams import random_stream

DRAWS = 2000
_SAME = 0.05
"""Logarithms that differ by less are the same size, or the same number of samples."""
_LEAST_POINTS = 3
_REFUTED = 3.0
"""Standard deviations: a law that is farther off for runs that it didn't know is not believed."""
_LEVEL_UNKNOWN = 1e4
"""Variance of the level where a piece of evidence orders filters only."""


@dataclass(frozen=True, slots=True)
class Target:
    """What is asked: one run of each filter."""

    arch: str
    width_mult: Fraction
    samples: int
    pool: float | None
    scale: str | None


@dataclass(frozen=True, slots=True)
class Evidence:
    name: str
    draws: Array | None
    """Log-odds of the metric, (draws, filters); None where the evidence can't be used."""
    says: str
    """What it rests on, or why it can't be used."""
    knows_level: bool = True
    """False where it orders filters only."""
    assumes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ladder:
    """The runs of a forecast with their values, by filter."""

    filters: tuple[str, ...]
    runs: tuple[LadderRun, ...]
    values: Mapping[str, float]
    """The metric of each run, by its URL."""
    metric: str | None
    """The one of DataComp's table that it is."""

    def at(self, name: str, point: object) -> list[LadderRun]:
        return [run for run in self.runs if run.filter == name and run.point == point]

    def common_points(self) -> list[tuple[str, Fraction, int]]:
        """Where every filter has a run, the cheapest first."""
        shared = set.intersection(*({run.point for run in self.runs if run.filter == name} for name in self.filters))
        return sorted(shared, key=lambda point: size_of(point[0], point[1]) * point[2])

    def kept(self) -> Array:
        """The kept fraction of each filter, by its largest run."""
        largest = [max((run for run in self.runs if run.filter == each), key=_samples) for each in self.filters]
        return np.array([run.kept for run in largest])


def size_of(arch: str, width_mult: Fraction) -> float:
    """Operations of a sample; for an architecture that nobody counted the square of its width, for lack of more."""
    counted = operations_per_sample(arch, width_mult)
    return counted if counted is not None else float(width_mult) ** 2


def law_evidence(ladder: Ladder, target: Target, noise: Noise, seed: int) -> Evidence:
    """The law, fitted to all runs."""
    archs = {run.spec.model_arch for run in ladder.runs} | {target.arch}
    if len(archs) > 1 and any(operations_per_sample(arch, Fraction(1)) is None for arch in archs):
        return Evidence("law", None, f"the sizes of {', '.join(sorted(archs))} can't be compared")
    points = LadderPoints(
        size=np.array([size_of(run.spec.model_arch, run.spec.width_mult) for run in ladder.runs]),
        samples=np.array([float(run.spec.train_num_samples) for run in ladder.runs]),
        unique=np.array([_unique(run.pool, run.kept, run.spec.train_num_samples) for run in ladder.runs]),
        filters=np.array([ladder.filters.index(run.filter) for run in ladder.runs]),
    )
    number = len(ladder.filters)
    asked = LadderPoints(
        size=np.full(number, size_of(target.arch, target.width_mult)),
        samples=np.full(number, float(target.samples)),
        unique=np.array([_unique(target.pool, kept, target.samples) for kept in ladder.kept()]),
        filters=np.arange(number),
    )
    if reason := _no_law(ladder, points, asked):
        return Evidence("law", None, reason)
    error = 1 - np.array([ladder.values[run.url] for run in ladder.runs])
    least = max(1e-3, noise.spread / float(np.median(error)))
    ahead = forecast_error(points, error, asked, noise=least, seed=seed)
    if ahead.held_out_miss > _REFUTED:
        miss = f"it missed the largest runs by {ahead.held_out_miss:.1f} standard deviations when they were held out"
        return Evidence("law", None, miss)
    drawn = ahead.draws()
    drawn = drawn[random_stream(seed, "law").integers(0, len(drawn), DRAWS)]
    return Evidence(
        "law",
        log_odds(1 - np.exp(np.minimum(drawn, 0))),
        f"error against size, samples and unique samples, in four forms, fitted to {len(ladder.runs)} runs; "
        f"its intervals are {ahead.misfit:.2f} times as wide as fitted, by runs that were held out",
        assumes=(
            "error goes on falling by the same law beyond the largest run",
            "runs are equally well tuned: one learning rate for all data can reverse the order of filters",
        ),
    )


def transfer_evidence(ladder: Ladder, target: Target, seed: int) -> Evidence:
    """Published filters: with the level where runs and target are DataComp's own scales, else their places only."""
    scales = [scale for scale in SCALES if all(_at_scale(ladder, name, scale) for name in ladder.filters)]
    targets = ("medium", "large")
    pool = "the pool is like CommonPool, and filters are like those that DataComp tried"
    if target.scale in targets and ladder.metric and (sources := _below(scales, target.scale)):
        measured = [name for name in METRICS if _measured(ladder, name)]
        rows = np.hstack([_scores_at(ladder, measured, scale) for scale in sources])
        fitted = fit_transfer(sources, target.scale, ladder.metric, measured=measured)
        says = (
            f"{fitted.filters} published filters, {' and '.join(sources)} to {target.scale}, by {', '.join(measured)}"
        )
        return Evidence("transfer", _drawn(fitted, features_of(rows, ladder.kept()), seed), says, assumes=(pool,))
    if len(ladder.filters) < 2 or not (common := ladder.common_points()):
        return Evidence("transfer", None, "there is no point at which at least two filters were all run")
    arch, width, samples = common[-1]
    growth = size_of(target.arch, target.width_mult) * target.samples / (size_of(arch, width) * samples)
    if growth < np.exp(_SAME):
        return Evidence("transfer", None, "the target is no larger than the runs")
    source, above = min(_TRANSITIONS, key=lambda pair: abs(np.log(growth / _growth(*pair))))
    column = ladder.metric or "imagenet"
    fitted = fit_transfer([source], above, column, measured=[column])
    values = [np.mean([ladder.values[run.url] for run in ladder.at(name, common[-1])]) for name in ladder.filters]
    drawn = _drawn(fitted, features_of(np.array(values)[:, None], ladder.kept()), seed)
    return Evidence(
        "transfer",
        drawn - drawn.mean() + float(log_odds(np.array(values)).mean()),
        f"the places of {fitted.filters} published filters, {source} to {above} ({_growth(source, above):,.0f} times "
        f"the compute; {growth:,.0f} times here)",
        knows_level=False,
        assumes=(pool, f"places carry over as those by {column} did between DataComp's scales"),
    )


def direct_evidence(ladder: Ladder, target: Target, noise: Noise, seed: int) -> Evidence:
    """Runs at the target itself: nothing but noise is between them and the answer."""
    point = (target.arch, target.width_mult, target.samples)
    groups = [[ladder.values[run.url] for run in ladder.at(name, point)] for name in ladder.filters]
    if not all(groups):
        return Evidence("noise", None, "not every filter was run at the target: the spread over seeds widens the rest")
    generator = random_stream(seed, "noise")
    center = np.array([log_odds(np.array(group)).mean() for group in groups])
    share = np.array([np.mean(group) for group in groups])
    spread = noise.spread / np.sqrt([len(group) for group in groups]) / np.clip(share * (1 - share), 1e-6, None)
    drawn = center + spread * generator.standard_normal((DRAWS, len(groups)))
    return Evidence("noise", drawn, f"{sum(map(len, groups))} runs at the target itself, with the spread over seeds")


def together(pieces: Sequence[Evidence], seed: int) -> Array:
    """Draws by all the pieces: those of one as they are, of several by the product of their normal densities."""
    drawn = [piece.draws for piece in pieces if piece.draws is not None]
    if len(drawn) == 1:
        return drawn[0]
    number = drawn[0].shape[1]
    precision, weighted = np.zeros((number, number)), np.zeros(number)
    for piece in pieces:
        if piece.draws is not None:
            spread = np.atleast_2d(np.cov(piece.draws.T)) + 1e-9 * np.eye(number)
            inverse = np.linalg.inv(spread + (0 if piece.knows_level else _LEVEL_UNKNOWN))
            precision += inverse
            weighted += inverse @ piece.draws.mean(0)
    covariance = np.linalg.inv(precision)
    generator = random_stream(seed, "together")
    return generator.multivariate_normal(covariance @ weighted, (covariance + covariance.T) / 2, DRAWS)


_TRANSITIONS = (("small", "medium"), ("medium", "large"), ("small", "large"))
"""Between DataComp's scales, where enough filters were run at both."""


def _growth(source: str, target: str) -> float:
    """How many times the compute."""

    def compute(row: Scale) -> float:
        return size_of(row.arch, Fraction(1)) * row.train_num_samples

    return compute(SCALES[target]) / compute(SCALES[source])


def _no_law(ladder: Ladder, points: LadderPoints, asked: LadderPoints) -> str:
    """Why a law can't be fitted or carried to the target; empty where it can."""
    if len(set(zip(points.size, points.samples, strict=True))) < _LEAST_POINTS:
        return f"a law needs runs of at least {_LEAST_POINTS} sizes or numbers of samples"
    by_size, by_samples = varying(points)
    if not by_size and abs(np.log(asked.size[0] / points.size[0])) > _SAME:
        return "all runs have one model size, so they can't say what another one does"
    if not by_samples and abs(np.log(asked.samples[0] / points.samples[0])) > _SAME:
        return "all runs saw as many samples, so they can't say what more do"
    worst = min(ladder.values.values())
    return f"a run has a metric of {worst:g}, which has no log-odds" if not 0 < worst < 1 else ""


def _unique(pool: float | None, kept: float, samples: int) -> float:
    """Distinct samples that a run can see; as many as it sees where the pool is not known."""
    return float(samples) if pool is None else max(1.0, pool * kept)


def _samples(run: LadderRun) -> int:
    return run.spec.train_num_samples


def _at_scale(ladder: Ladder, name: str, scale: str) -> list[LadderRun]:
    return [run for run in ladder.runs if run.filter == name and run.scale == scale]


def _below(scales: Sequence[str], target: str) -> list[str]:
    """Those that are smaller than the target, and whose published filters it can be learnt from."""
    return [scale for scale in scales if (scale, target) in _TRANSITIONS]


def _measured(ladder: Ladder, metric: str) -> bool:
    return all(metric in run.published_metrics() for run in ladder.runs)


def _scores_at(ladder: Ladder, measured: Sequence[str], scale: str) -> Array:
    """A row a filter, a column a metric: means over its runs at the scale."""
    rows = []
    for name in ladder.filters:
        scores = [run.published_metrics() for run in _at_scale(ladder, name, scale)]
        rows.append([np.mean([each[column] for each in scores]) for column in measured])
    return np.array(rows)


def _drawn(fitted: Transfer, features: Array, seed: int) -> Array:
    return fitted.draw(features, DRAWS, random_stream(seed, "transfer"))
