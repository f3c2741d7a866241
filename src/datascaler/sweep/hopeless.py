"""Which points of a grid are not worth their end: the order in which points are trained, and the limits of each.

The rule, for points that differ in their learning rate alone: they are trained from the middle of the grid outwards, so
that what comes later has rivals. A point that is not next to the best of those that are complete is given up at half or
at three quarters of the run, where its loss (over the last 5% of the samples up to there) is more than the lowest of
the complete ones' there, by the share that the sweep was given. What the parabola through the best point needs is
trained in any case. A complete point stays complete and one that was given up stays so, so a sweep that is started
again decides the same.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from datascaler.data.runs.read_metrics import mean_loss, read_metrics
from datascaler.data.runs.run_folder import finished_run, run_url
from datascaler.spec.train import TrainSpec

RUNGS = (0.5, 0.75)
"""Parts of a run after which it may be given up."""


def from_the_middle(points: Sequence[TrainSpec]) -> list[TrainSpec]:
    """The points, those that differ in their learning rate alone together: the middle one first, the ends last."""
    ordered = []
    for line in _lines(points):
        middle = len(line) // 2
        # A stable sort: of two that are as far, the lower one comes first.
        places = sorted(range(len(line)), key=lambda place: abs(place - middle))
        ordered += [line[place] for place in places]
    return ordered


def with_limits(point: TrainSpec, points: Sequence[TrainSpec], stop_above: float) -> TrainSpec:
    """The point with the limits that its rivals, as far as they are complete, set to its loss."""
    line = next(line for line in _lines(points) if point in line)
    losses = {rival.lr: summary.train_loss for rival in line if (summary := finished_run(rival))}
    if not losses:
        return point
    lrs = [rival.lr for rival in line]
    best = min(losses, key=lambda lr: losses[lr])
    if abs(lrs.index(point.lr) - lrs.index(best)) <= 1:
        return point
    rivals = [read_metrics(run_url(rival))[0] for rival in line if rival.lr in losses]
    limits = []
    for rung in RUNGS:
        samples = max(1, int(point.steps * rung)) * point.batch_size
        there = [loss for rows in rivals if (loss := mean_loss(rows, samples)) is not None]
        limits += [f"{samples}:{min(there) * (1 + stop_above)!r}"] if there else []
    return replace(point, loss_limits=tuple(limits))


def _lines(points: Sequence[TrainSpec]) -> Iterable[list[TrainSpec]]:
    """Points that differ in their learning rate alone, by that."""
    lines: dict[TrainSpec, list[TrainSpec]] = {}
    for point in points:
        lines.setdefault(replace(point, lr=1.0), []).append(point)
    return [sorted(line, key=lambda each: each.lr) for line in lines.values()]
