"""Results of several models side by side: differences with paired intervals, and published filters for comparison."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import fmean
from typing import Any

import numpy as np

from datascaler import storage
from datascaler.data.runs.seed_noise import SeedNoise, configuration_of, seed_noise
from datascaler.errors import ConfigError
from datascaler.evaluate.published_baselines import PublishedBaseline, published_baselines
from datascaler.evaluate.read_result import ReadResult, read_result, same_samples
from datascaler.evaluate.resample import RESAMPLES, Floats, interval, resample
from datascaler.evaluate.tasks import DECISION_SET, GROUPS, Task, load_tasks

_PICTURES = (".png", ".svg", ".pdf")
_TOLERANCE = 1e-6
"""Between a score of the results and what its samples say, both of them sums of the same numbers."""


@dataclass(frozen=True, slots=True)
class ComparedScores:
    """An average, or a task, of every result."""

    name: str
    """`average`, a group, or a task's key."""
    scored: int
    """Tasks that every result has a score for: the average is over them."""
    tasks: int
    scores: list[float | None]
    differences: list[float | None]
    """This result's score less the first one's; None for the first."""
    intervals: list[tuple[float, float] | None]
    """95% intervals of the differences, by bootstrap over samples that both answered."""
    note: str = ""
    """What is missing, or can't be paired."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What `compare_results` found."""

    results: list[str]
    averages: list[ComparedScores]
    """Over all tasks, DataComp's four groups, and the decision set."""
    tasks: list[ComparedScores]
    published: list[PublishedBaseline] = field(default_factory=list)
    seeds: list[SeedNoise] = field(default_factory=list)
    """Where several results are runs that differ in their seed alone: how far that moves each average and task."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def compare_results(
    results: Sequence[str],
    *,
    published: str | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
    picture: str | None = None,
) -> Comparison:
    """Compare evaluated models with the first of them, task by task and on average over the tasks that all have.

    The interval of a difference comes from replicates that draw the task's samples with replacement, the same for both
    models: what both find easy or hard cancels out. It says how far the difference would go on other images of the same
    kind; that of another training seed is not in it. Give several seeds of a run, and `seeds` has that.

    Args:
        results: folders of results, runs that were evaluated, or eval_results.jsonl files, DataComp's own too (without
            `eval_samples` beside them there are differences without intervals).
        published: a scale, small or medium: DataComp's baselines of that scale stand beside them.
        resamples: replicates.
        picture: a .png or .svg to draw the differences and their intervals in.

    Raises ConfigError where a result can't be read, or there is nothing to compare.

    Example:
        >>> for name in ("once", "again"):
        ...     spec = EvalSpec(
        ...         data_dir="evalsets",
        ...         model="local-dir:model",
        ...         output_dir=name,
        ...         tasks=("cifar10",),
        ...         allow_partial_sets=True,
        ...     )
        ...     rows = evaluate_clip(spec)
        >>> found = compare_results(["once", "again"], published="small")
        >>> average = found.averages[0]
        >>> average.name, f"{average.scored} of {average.tasks}", average.differences, average.intervals
        ('average', '1 of 38', [None, 0.0], [None, (0.0, 0.0)])
        >>> found.published[0].strategy, found.published[0].averages["average_38"]
        ('No filtering', 0.132)
    """
    if resamples < 1:
        raise ConfigError(f"resamples must be at least 1, got {resamples}")
    if picture and not picture.endswith(_PICTURES):
        raise ConfigError(f"picture must be a {', '.join(_PICTURES[:-1])} or {_PICTURES[-1]} file, got {picture}")
    if len(results) < (1 if published else 2):
        raise ConfigError("give at least two results to compare, or one and the scale of published baselines")
    baselines = published_baselines(published) if published else []
    read = [read_result(url) for url in results]
    listed = {task.key: task for task in load_tasks()}
    keys = list(dict.fromkeys([*listed, *(key for result in read for key in result.metrics)]))
    rows = [_compare_task(key, listed.get(key), read, resamples, seed) for key in keys]
    averages = _averages(rows, listed)
    tasks = [row.compared for row in rows if any(row.key in result.metrics for result in read)]
    found = Comparison(
        results=[result.name for result in read],
        averages=averages,
        tasks=tasks,
        published=baselines,
        seeds=seed_noise(
            [configuration_of(result.folder) for result in read],
            [(each.name, each.scores) for each in (*averages, *tasks)],
        ),
    )
    if picture:
        from datascaler.evaluate.comparison_picture import draw_comparison

        storage.publish_bytes(picture, draw_comparison(found, picture.rpartition(".")[2]))
    return found


@dataclass(frozen=True, slots=True)
class _TaskRow:
    key: str
    compared: ComparedScores
    replicates: list[Floats | None]
    """One array for each result, of its difference from the first."""


def _compare_task(key: str, task: Task | None, results: Sequence[ReadResult], resamples: int, seed: int) -> _TaskRow:
    metric = _common_metric(key, task, results)
    scores = [result.metrics.get(key, {}).get(metric) for result in results]
    notes = [
        f"{'missing' if key not in result.metrics else f'no {metric}'} in {result.name}"
        for result, score in zip(results, scores, strict=True)
        if score is None
    ]
    is_scored = not notes
    replicates: list[Floats | None] = [None] * len(results)
    if is_scored:
        tables = [result.samples(key) for result in results]
        for number in range(1, len(results)):
            replicates[number], note = _paired(key, metric, results, tables, scores, number, resamples, seed)
            notes += [note] if note else []
    first = scores[0]
    compared = ComparedScores(
        name=key,
        scored=int(is_scored),
        tasks=int(is_scored if task is None else task.main_metric is not None),
        scores=scores,
        differences=[None, *(None if first is None or score is None else score - first for score in scores[1:])],
        intervals=[None if found is None else interval(found) for found in replicates],
        note="; ".join(notes),
    )
    return _TaskRow(key, compared, replicates)


def _common_metric(key: str, task: Task | None, results: Sequence[ReadResult]) -> str:
    """The main metric of the first result that every result has, as FMoW has two; else the task's own."""
    wanted = [result.main_metrics[key] for result in results if key in result.main_metrics]
    wanted += [task.main_metric] if task and task.main_metric else []
    for name in wanted:
        if all(result.metrics.get(key, {}).get(name) is not None for result in results):
            return name
    return wanted[0] if wanted else "main_metric"


def _paired(
    key: str,
    metric: str,
    results: Sequence[ReadResult],
    tables: Sequence[Any],
    scores: Sequence[float | None],
    number: int,
    resamples: int,
    seed: int,
) -> tuple[Floats | None, str]:
    """Replicates of the difference between a result and the first, or None and the reason."""
    pair = (0, number)
    without = [results[each].name for each in pair if tables[each] is None]
    if without:
        return None, f"no eval_samples of {' and '.join(without)}"
    if not same_samples(tables[0], tables[number]):
        return None, f"{results[number].name} has other samples than {results[0].name}"
    drawn = resample(metric, [tables[each] for each in pair], name=key, resamples=resamples, seed=seed)
    if drawn is None:
        return None, ""
    for each, said in zip(pair, drawn.scores, strict=True):
        if abs(said - (scores[each] or 0)) > _TOLERANCE:
            return None, f"eval_samples of {results[each].name} are not those of its result"
    return drawn.replicates[1] - drawn.replicates[0], ""


def _averages(rows: Sequence[_TaskRow], listed: Mapping[str, Task]) -> list[ComparedScores]:
    """Over the tasks that all results have a score for, each with how many of how many that are."""
    by_key = {row.key: row for row in rows}
    members = {
        "average": [row for row in rows if row.compared.tasks],
        **{group: [by_key[key] for key, task in listed.items() if task.group == group] for group in GROUPS},
        "decision set": [by_key[key] for key in DECISION_SET],
    }
    return [_average(name, group) for name, group in members.items()]


def _average(name: str, members: Sequence[_TaskRow]) -> ComparedScores:
    scored = [row for row in members if row.compared.scored]
    results = range(len(members[0].compared.scores))
    scores = [_mean([row.compared.scores[each] for row in scored]) for each in results]
    first = scores[0]
    intervals: list[tuple[float, float] | None] = []
    for each in results:
        drawn = [row.replicates[each] for row in scored]
        whole = [replicates for replicates in drawn if replicates is not None]
        intervals.append(interval(np.mean(whole, axis=0)) if whole and len(whole) == len(drawn) else None)
    return ComparedScores(
        name=name,
        scored=len(scored),
        tasks=len(members),
        scores=scores,
        differences=[None, *(None if first is None or score is None else score - first for score in scores[1:])],
        intervals=intervals,
    )


def _mean(scores: Sequence[float | None]) -> float | None:
    found = [score for score in scores if score is not None]
    return fmean(found) if found else None
