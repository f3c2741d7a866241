"""`forecast`: from run folders to a decision."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from datascaler.forecasting.decide import (
    Decision,
    FilterForecast,
    PairForecast,
    filter_forecasts,
    pair_forecasts,
    rivals_of,
    verdict_on,
)
from datascaler.forecasting.evidence import (
    Evidence,
    Ladder,
    Target,
    direct_evidence,
    law_evidence,
    size_of,
    together,
    transfer_evidence,
)
from datascaler.forecasting.ladder import LadderRun, best_settings, metric_values, read_ladder
from datascaler.forecasting.next_run import NextRun, cheapest_next_run
from datascaler.forecasting.noise import Noise, noise_of
from datascaler.forecasting.published import Array
from datascaler.spec.forecast import EVIDENCE, ForecastSpec
from datascaler.spec.scales import SCALES
from datascaler.tools.random_streams import random_stream


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceUsed:
    name: str
    used: bool
    says: str
    """What it rests on, or why it can't be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beyond:
    """How many times the largest run the target is."""

    samples: float
    size: float
    """Operations of a sample."""
    compute: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    metric: str
    tasks: int
    """That the metric is the mean of."""
    runs: int
    left_out: dict[str, str]
    """Runs that could not be used, each with the reason."""
    arch: str
    width_mult: str
    target_samples: int
    target_pool: int | None
    margin: float
    decision: Decision
    verdict: str
    filters: list[FilterForecast]
    """The least expected regret first."""
    pairs: list[PairForecast]
    next_run: NextRun | None
    """The cheapest that would most reduce expected regret, where filters can't be told apart."""
    evidence: list[EvidenceUsed]
    beyond: Beyond
    assumptions: list[str]
    """What carries the forecast beyond the largest run."""
    noise: float
    """Standard deviation of a run's metric over seeds, as a part of 1."""
    noise_source: str


def forecast(
    runs: str | Sequence[str],
    *,
    target: str | None = None,
    target_samples: int | None = None,
    target_width: Fraction | None = None,
    target_pool: int | None = None,
    metric: str = "average",
    margin: float = 0.005,
    evidence: Sequence[str] = EVIDENCE,
    seed: int = 0,
    say: Callable[[str], None] = lambda _: None,
) -> Forecast:
    """Predict which filter wins at full size, and how good it will be, from small runs that were evaluated.

    Args:
        runs: folders or URLs of training runs, or folders above them.
        target: small, medium, large or xlarge; or else
        target_samples, target_width: samples seen, and the width multiplier of the runs' architecture.
        target_pool: samples that the filters choose from there; None is the scale's pool, or that of the runs.
        metric: average, imagenet, shifts, vtab, retrieval, or a task by key or name.
        margin: a difference that matters, as a part of 1.
        evidence: which pieces to use, of law, transfer and noise.
        seed: of the draws; the same runs and seed give the same forecast.
        say: gets lines for people.

    Returns the verdict and all that it rests on. `decision` is "unpredictable" where no evidence reaches the target.

    Raises ConfigError for a target or a metric that can't be, and where no run is finished and evaluated.

    Example:
        >>> made = forecast("ladder", target_samples=64_000_000, metric="imagenet")
        >>> made.decision, made.filters[0].filter, made.next_run is None
        ('pick', 'clip-f0.3', True)
    """
    spec = ForecastSpec(
        runs=(runs,) if isinstance(runs, str) else tuple(runs),
        target=target,
        target_samples=target_samples,
        target_width=target_width,
        target_pool=target_pool,
        metric=metric,
        margin=margin,
        evidence=tuple(evidence),
        seed=seed,
    )
    found, left_out = read_ladder(spec.runs)
    for url, reason in left_out.items():
        say(f"left out: {url}: {reason}")
    values, published, tasks = metric_values(found, spec.metric)
    kept = best_settings(found, values)
    ladder = Ladder(tuple(sorted({run.filter for run in kept})), tuple(kept), values, published)
    asked = target_of(spec, kept)
    noise = noise_of(kept, values, published)
    return _decide(spec, ladder, asked, noise, tasks, left_out)


def target_of(spec: ForecastSpec, runs: Sequence[LadderRun]) -> Target:
    """The run that is asked about."""
    if spec.target is not None:
        row = SCALES[spec.target]
        pool = float(spec.target_pool or row.train_num_samples)
        return Target(row.arch, Fraction(1), row.train_num_samples, pool, row.name)
    assert spec.target_samples is not None
    widest = max(runs, key=lambda run: size_of(run.spec.model_arch, run.spec.width_mult)).spec
    pools = [run.pool for run in runs]
    known = [each for each in pools if each is not None]
    of_runs = max(known) if len(known) == len(pools) else None
    return Target(
        widest.model_arch,
        spec.target_width if spec.target_width is not None else widest.width_mult,
        spec.target_samples,
        float(spec.target_pool) if spec.target_pool else of_runs,
        None,
    )


def _decide(
    spec: ForecastSpec, ladder: Ladder, target: Target, noise: Noise, tasks: int, left_out: dict[str, str]
) -> Forecast:
    ways: dict[str, Callable[[], Evidence]] = {
        "noise": lambda: direct_evidence(ladder, target, noise, spec.seed),
        "law": lambda: law_evidence(ladder, target, noise, spec.seed),
        "transfer": lambda: transfer_evidence(ladder, target, spec.seed),
    }
    pieces: list[Evidence] = []
    for name, way in ways.items():
        # Runs at the target itself leave nothing to predict.
        if name in spec.evidence and not any(piece.name == "noise" and piece.draws is not None for piece in pieces):
            pieces.append(way())
    used = [piece for piece in pieces if piece.draws is not None]
    filters: list[FilterForecast] = []
    pairs: list[PairForecast] = []
    next_run = None
    decision: Decision = "unpredictable"
    verdict = "not predictable from these runs: " + "; ".join(f"{piece.name}: {piece.says}" for piece in pieces)
    if used:
        log_odds = together(used, spec.seed)
        expected = _share(log_odds)
        generator = random_stream(spec.seed, "runs")
        single = np.clip(expected + noise.spread * generator.standard_normal(expected.shape), 0, 1)
        knows_level = any(piece.knows_level for piece in used)
        filters = filter_forecasts(ladder.filters, expected, single, knows_level=knows_level)
        pairs = pair_forecasts(ladder.filters, expected, spec.margin)
        decision, verdict = verdict_on(filters, pairs, spec.margin)
        if decision == "tie":
            undecided = [filters[0].filter, *rivals_of(filters[0], pairs)]
            next_run = cheapest_next_run(ladder, target, undecided, expected, noise)
    return Forecast(
        metric=spec.metric,
        tasks=tasks,
        runs=len(ladder.runs),
        left_out=left_out,
        arch=target.arch,
        width_mult=str(target.width_mult),
        target_samples=target.samples,
        target_pool=None if target.pool is None else round(target.pool),
        margin=spec.margin,
        decision=decision,
        verdict=verdict,
        filters=filters,
        pairs=pairs,
        next_run=next_run,
        evidence=[EvidenceUsed(name=each.name, used=each.draws is not None, says=each.says) for each in pieces],
        beyond=_beyond(ladder, target),
        assumptions=_assumptions(ladder, used),
        noise=noise.spread,
        noise_source=noise.source,
    )


def _beyond(ladder: Ladder, target: Target) -> Beyond:
    sizes = [size_of(run.spec.model_arch, run.spec.width_mult) for run in ladder.runs]
    samples = [run.spec.train_num_samples for run in ladder.runs]
    size = size_of(target.arch, target.width_mult)
    largest = max(each * seen for each, seen in zip(sizes, samples, strict=True))
    return Beyond(
        samples=target.samples / max(samples),
        size=size / max(sizes),
        compute=size * target.samples / largest,
    )


def _assumptions(ladder: Ladder, used: Sequence[Evidence]) -> list[str]:
    found = [each for piece in used for each in piece.assumes]
    if any(run.pool is None for run in ladder.runs):
        found.append("no sample is seen twice: nothing says how large the pool is")
    return list(dict.fromkeys(found))


def _share(log_odds: Array) -> Array:
    share: Array = 1 / (1 + np.exp(-log_odds))
    return share
