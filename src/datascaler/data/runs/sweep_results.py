"""What came of the points of a sweep: `sweep-*.json` beside them, best first. Needs nothing that trains."""

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from statistics import fmean, stdev
from typing import Literal, NamedTuple

from datascaler import storage
from datascaler.data.runs.lr_optimum import LrOptimum, fit_optimum
from datascaler.data.runs.run_folder import early_end, finished_run, run_url
from datascaler.errors import ConfigError, DatascalerError, EarlyEnd, StorageError
from datascaler.spec.train import TrainSpec

_NEAR_CHANCE = 0.02
"""Relative. A model that learns nothing gives each pair of a batch the same probability."""


class Setting(NamedTuple):
    """What points that differ in their seed alone have in common."""

    lr: float
    weight_decay: float
    warmup_steps: int
    batch_size: int
    init_temperature: float

    def is_beside(self, other: "Setting") -> bool:
        """Whether they differ in the learning rate at most."""
        return self[1:] == other[1:]


@dataclass(frozen=True, slots=True)
class SweepPoint:
    lr: float
    weight_decay: float
    warmup_steps: int
    run: str
    train_loss: float | None
    """None for a point that failed or is not complete."""
    failure: str = ""
    batch_size: int = 0
    init_temperature: float = 0.0
    seed: int = 0
    ended: EarlyEnd | Literal[""] = ""
    """Why there is no last loss and will be none: "given up" is that of a hopeless one."""

    @property
    def setting(self) -> Setting:
        return Setting(self.lr, self.weight_decay, self.warmup_steps, self.batch_size, self.init_temperature)


@dataclass(frozen=True, slots=True)
class SettingLoss:
    """The loss of a setting over its seeds."""

    setting: Setting
    mean: float
    deviation: float | None
    """The standard deviation of single seeds; None for one alone."""
    done: int
    of: int


@dataclass(frozen=True, slots=True)
class SweepResult:
    points: list[SweepPoint]
    """Best first: by the mean over the seeds of a setting, then by their own loss; those without a loss last."""
    results: str
    """URL of the same as JSON."""
    unfinished: int = 0
    """Points that are neither complete nor diverged: trained again, they may still change the ranking."""

    batch_size: int = 0
    samples: int = 0
    """The budget that these points were trained for."""
    shorter: "tuple[SweepResult, ...]" = ()
    """The rankings of shorter budgets of the same runs, the shortest first."""

    @property
    def best(self) -> SweepPoint:
        return self.points[0]

    @property
    def settings(self) -> list[SettingLoss]:
        """Those that have a loss, best first."""
        return _setting_losses(self.points)

    @property
    def optimum(self) -> LrOptimum | None:
        """The best learning rate between those of the grid, with all else as at the best point. None where the best one
        is at an end of those that have a loss: nothing is known beyond."""
        losses: dict[float, list[float]] = {}
        for point in self.points:
            if point.train_loss is not None and point.setting.is_beside(self.best.setting):
                losses.setdefault(point.lr, []).append(point.train_loss)
        return fit_optimum(losses)

    @property
    def doubts(self) -> list[str]:
        """Why the best point may be none to go on with, a sentence each; empty where nothing speaks against it."""
        losses = [point.train_loss for point in self.points if point.train_loss is not None]
        # What was given up is known to be worse, so the grid doesn't end before it.
        lrs = sorted({point.lr for point in self.points if point.train_loss is not None or point.ended == "given up"})
        chance = math.log(self.batch_size) if self.batch_size > 1 else 0.0
        doubts = []
        if losses and chance and all(abs(loss - chance) < _NEAR_CHANCE * chance for loss in losses):
            doubts.append(
                f"the loss of each of the {len(losses)} points is about ln(batch size) = {chance:.3g}, as by chance: "
                "nothing was learnt, so the ranking means nothing"
            )
        elif len(lrs) > 1 and self.best.lr in (lrs[0], lrs[-1]):
            end, other = ("lowest", "lower") if self.best.lr == lrs[0] else ("highest", "higher")
            doubts.append(
                f"the best learning rate, {self.best.lr:g}, is the {end} of the grid: a better one may lie beyond, so "
                f"add {other} ones to --lrs"
            )
        return doubts


def collect_sweep(specs: Sequence[TrainSpec], failures: Mapping[str, str] | None = None) -> SweepResult:
    """Rank the points as they are now, and publish the ranking; one for each budget, where runs have several.

    failures: why points ended without a loss, by the URLs of their runs, where their folders don't say it.

    Raises DatascalerError if none is complete, with the result as `finished`.
    """
    *shorter, longest = zip(*(spec.budgets for spec in specs), strict=True)
    ranked = []
    for budget in shorter:
        with suppress(DatascalerError):
            ranked.append(_rank(budget, {}))
    return replace(_rank(longest, failures or {}), shorter=tuple(ranked))


def _rank(specs: Sequence[TrainSpec], failures: Mapping[str, str]) -> SweepResult:
    found = [_point_of(spec, failures.get(run_url(spec), "")) for spec in specs]
    unfinished = sum(is_unfinished for _, is_unfinished in found)
    points = [point for point, _ in found]
    means = {each.setting: each.mean for each in _setting_losses(points)}
    points.sort(key=lambda point: (means.get(point.setting, math.inf), _or_last(point.train_loss)))
    url = sweep_results_url(specs)
    result = SweepResult(points, url, unfinished, specs[0].batch_size, specs[0].train_num_samples)
    optimum = result.optimum
    record = {"points": [asdict(point) for point in points], "optimum": asdict(optimum) if optimum else None}
    storage.publish_record(url, record)
    if points[0].train_loss is None:
        error = DatascalerError(f"no point of the sweep is complete; the first: {points[0].failure}")
        raise error.after(result)
    return result


def _setting_losses(points: Sequence[SweepPoint]) -> list[SettingLoss]:
    """Those that have a loss; a setting of which a seed diverged or was given up has none."""
    seeds: dict[Setting, list[SweepPoint]] = {}
    for point in points:
        seeds.setdefault(point.setting, []).append(point)
    found = []
    for setting, own in seeds.items():
        losses = [point.train_loss for point in own if point.train_loss is not None]
        if losses and not any(point.ended for point in own):
            spread = stdev(losses) if len(losses) > 1 else None
            found.append(SettingLoss(setting, fmean(losses), spread, len(losses), len(own)))
    return sorted(found, key=lambda each: each.mean)


def _or_last(loss: float | None) -> float:
    return math.inf if loss is None else loss


def _point_of(spec: TrainSpec, failure: str) -> tuple[SweepPoint, bool]:
    """What its folder says of a point, and whether it is neither complete nor diverged."""
    loss, is_unfinished, ended = None, False, None
    try:
        summary = finished_run(spec, is_same_data=not failure)
        if summary:
            loss, failure = summary.train_loss, ""
        else:
            ended = early_end(run_url(spec))
            is_unfinished = ended is None
            failure = str(ended or failure or "not complete")
    except (ConfigError, StorageError) as error:
        failure, is_unfinished = str(error), True
    point = SweepPoint(
        *(spec.lr, spec.weight_decay, spec.warmup_steps, run_url(spec), loss, failure),
        *(spec.batch_size, spec.init_temperature, spec.seed, ended.state if ended else ""),
    )
    return point, is_unfinished


def sweep_results_url(specs: Sequence[TrainSpec]) -> str:
    """Where the ranking of a sweep goes. Sweeps of other points, or of another length, lie beside it."""
    first = specs[0]
    points = sorted(spec.folder for spec in specs)
    digest = sha256(json.dumps(points).encode()).hexdigest()[:8]
    name = f"sweep-n{first.train_num_samples}-s{first.seed}-{digest}.json"
    return storage.join(storage.parent(run_url(first)), name)
