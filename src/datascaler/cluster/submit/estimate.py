"""The estimate that `submit` prints before a cluster is committed: samples, steps, GPUs and A100-hours.

A run's A100-hours come from its operations and DataComp's record, so they are known before anything has run.
"""

from collections.abc import Iterator
from statistics import fmean

from datascaler.cluster.kube.chart_values import Values
from datascaler.cluster.submit.request import Spec
from datascaler.cluster.submit.submission import Submission, run_values_of
from datascaler.spec.cost import a100_hours
from datascaler.spec.evaluate import EvalSpec
from datascaler.spec.ladder import LadderGrid
from datascaler.spec.score import ScorePart
from datascaler.spec.sweep import SweepSpec
from datascaler.spec.train import TrainSpec

_DATACOMP_SHARD = 10_000
"""Rows that DataComp's downloader gives to a shard; those that could not be downloaded are missing."""
_GPU_VERBS = ("score", "train", "eval")


def outlook(submission: Submission, spec: Spec) -> Iterator[str]:
    """Lines of `name  value`."""
    trainings = _trainings(spec)
    runs = list(run_values_of(submission.values, submission.name).values())
    pods = sum(_pods(run) for run in runs)
    gpus = sum(_pods(run) * _gpus(run) for run in runs)
    yield f"run       {submission.namespace}/{submission.name}" + (f", {len(runs):,} runs" if len(runs) > 1 else "")
    for training in trainings[:1]:
        yield f"samples   {training.train_num_samples:,} a run, in {training.steps:,} steps of {training.batch_size:,}"
        if training.branch_at:
            budgets = f"{len(training.branch_at)} budgets up to that, which share a trunk"
            yield f"          {training.samples_computed:,} for {budgets}"
    resource = runs[0].get("gpu", {}).get("resource", "nvidia.com/gpu")
    yield f"pods      {pods:,} at a time, {gpus:,} x {resource}" if gpus else f"pods      {pods:,} at a time, no GPU"
    hours = [a100_hours(each.model_arch, each.width_mult, each.samples_computed) for each in trainings]
    known = [each for each in hours if each is not None]
    if known and len(known) == len(hours):
        # A list of runs that a file of values adds to is counted by its length.
        total = fmean(known) * len(runs)
        spread = f", {_hours(total / gpus)} h on these GPUs if they are such" if gpus else ""
        yield f"estimate  {_hours(total)} A100-hours by DataComp's record{spread}"
    if isinstance(spec, ScorePart | EvalSpec) and spec.count == 1:
        yield "note      one pod does it all; --count N shares the work among N"


def pool_line(shards: int, gigabytes: float) -> str:
    return (
        f"pool      {shards:,} shards, {gigabytes:,.1f} GB; "
        f"at most {shards * _DATACOMP_SHARD:,} samples if its shards are as DataComp's"
    )


def _trainings(spec: Spec) -> list[TrainSpec]:
    if isinstance(spec, SweepSpec | LadderGrid):
        return list(spec.points)
    return [spec] if isinstance(spec, TrainSpec) else []


def _pods(run: Values) -> int:
    if run.get("kind") == "train":
        return int(run.get("train", {}).get("workers", 1))
    return int(run.get("parallelism") or run.get("completions") or 1)


def _gpus(run: Values) -> int:
    return int(run.get("gpu", {}).get("count", 1 if run.get("kind") in _GPU_VERBS else 0))


def _hours(hours: float) -> str:
    return f"{hours:,.0f}" if hours >= 100 else f"{hours:.3g}"
