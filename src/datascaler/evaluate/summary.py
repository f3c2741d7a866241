"""The averages that DataComp reports, each with how many of its tasks it is over and how far off it could be."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

import numpy as np

from datascaler.evaluate.data_identity import DataIdentity
from datascaler.evaluate.resample import Floats, interval, resample
from datascaler.evaluate.tasks import DECISION_SET, GROUPS, Task, load_tasks, task_fields

Interval = tuple[float, float]

_TOLERANCE = 1e-6
"""Between a score and what the samples beside it say."""


@dataclass(frozen=True, slots=True)
class GroupAverage:
    average: float | None
    scored: int
    """Tasks of the group that have a score: the average is over them."""
    tasks: int
    """Tasks of the group in DataComp's list and in this one that have a main metric."""
    interval: Interval | None = None
    """95%, by bootstrap over the samples of each task; None where some of them are not there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalSummary:
    arch: str
    weights_hash: str
    average: float | None
    """Plain mean of the main metrics; nothing is normalised for chance, as in DataComp."""
    average_interval: Interval | None = None
    average_38: float | None
    """The same over DataComp's 38 scored tasks; None unless all are there, whole and as DataComp defines them."""
    average_38_interval: Interval | None = None
    average_38_paper: float | None
    """The same with FMoW's worst region as DataComp computes it: the number of published tables."""
    scored: int
    """Tasks that enter the average."""
    tasks: int
    """Tasks of the list that have a main metric: the average is over `scored` of them."""
    scored_38: int
    """Tasks of DataComp's 38 that are there, whole and as DataComp defines them."""
    evaluated: int
    groups: dict[str, GroupAverage]
    decision_set: GroupAverage
    """Over the tasks that tell filters apart at small scale (`tasks.DECISION_SET`)."""
    scores: dict[str, float | None]
    """Main metric of each evaluated task, by its key."""
    by_task: dict[str, dict[str, Any]]
    """What belongs to each of these scores: its metric, interval, chance level, images of how many, and continuous
    measures."""
    missing: list[str]
    """Tasks without data."""
    pending: list[str]
    """Tasks with data but no result yet; the files of the whole set are not written while there are any."""
    failed: dict[str, str]
    """Tasks that could not be evaluated, each with the reason; they enter no average."""
    notes: dict[str, str]
    warnings: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        record = asdict(self)
        if self.average_38 is None:
            for name in ("average_38", "average_38_interval", "average_38_paper"):
                del record[name]
        return record


def summarise(
    tasks: Sequence[Task],
    records: Sequence[Mapping[str, Any]],
    *,
    model: Mapping[str, str],
    missing: Iterable[str],
    pending: Iterable[str],
    failed: Mapping[str, str] | None = None,
    samples: Callable[[str], Any] | None = None,
) -> EvalSummary:
    """The summary of per-task results.

    Args:
        tasks: the whole list, of which not all may have a result.
        records: results, with the main metric that counts.
        samples: gives the table of a task's samples by its key; without it there are no intervals.
    """
    scores = {record["key"]: record["metrics"]["main_metric"] for record in records}
    drawn = {record["key"]: _replicates(record, samples) for record in records} if samples else {}
    known = {task.key: task for task in [*load_tasks(), *tasks]}
    group_of = {key: task.group for key, task in known.items() if task.main_metric}
    group_of |= {record["key"]: record["task"].get("group") for record in records}
    members = {group: [key for key, name in group_of.items() if name == group] for group in GROUPS}
    listed = dict.fromkeys([*(task.key for task in tasks if task.main_metric), *_scored(scores)])
    over_all = _average(listed, scores, drawn)
    theirs = {task.key: task for task in load_tasks() if task.main_metric}
    of_38 = [record for record in records if record["key"] in theirs and _is_as_defined(record, theirs[record["key"]])]
    keys_38 = [record["key"] for record in of_38]
    is_whole = len(of_38) == len(theirs)
    over_38 = _average(keys_38, scores, drawn) if is_whole else None
    return EvalSummary(
        arch=model["arch"],
        weights_hash=model["weights_hash"],
        average=over_all.average,
        average_interval=over_all.interval,
        average_38=over_38.average if over_38 else None,
        average_38_interval=over_38.interval if over_38 else None,
        average_38_paper=fmean(_papers_score(record) for record in of_38) if is_whole else None,
        scored=over_all.scored,
        tasks=over_all.tasks,
        scored_38=len(of_38),
        evaluated=len(scores),
        groups={group: _average(keys, scores, drawn) for group, keys in members.items()},
        decision_set=_average(DECISION_SET, scores, drawn),
        scores=scores,
        by_task={record["key"]: _task_row(record, drawn.get(record["key"])) for record in records},
        missing=list(missing),
        pending=list(pending),
        failed=dict(failed or {}),
        notes={record["key"]: record["note"] for record in records if "note" in record},
        warnings={record["key"]: record["warning"] for record in records if "warning" in record},
    )


def _scored(scores: Mapping[str, float | None]) -> list[str]:
    return [key for key, score in scores.items() if score is not None]


def _average(
    keys: Iterable[str], scores: Mapping[str, float | None], drawn: Mapping[str, Floats | None]
) -> GroupAverage:
    members = list(keys)
    found = {key: score for key in members if (score := scores.get(key)) is not None}
    replicates = [drawn.get(key) for key in found]
    whole = [each for each in replicates if each is not None]
    return GroupAverage(
        average=fmean(found.values()) if found else None,
        scored=len(found),
        tasks=len(members),
        interval=interval(np.mean(whole, axis=0)) if whole and len(whole) == len(found) else None,
    )


def _replicates(record: Mapping[str, Any], samples: Callable[[str], Any]) -> Floats | None:
    """Scores on resampled images; None where the samples beside the record are not there, or not its own."""
    metric, score = _metric(record), record["metrics"]["main_metric"]
    if score is None or metric is None:
        return None
    drawn = resample(metric, [samples(record["key"])], name=record["key"])
    is_its_own = drawn is not None and abs(drawn.scores[0] - score) <= _TOLERANCE
    return drawn.replicates[0] if drawn is not None and is_its_own else None


def _task_row(record: Mapping[str, Any], replicates: Floats | None) -> dict[str, Any]:
    data = record.get("data") or {}
    return {
        "metric": _metric(record),
        "score": record["metrics"]["main_metric"],
        "interval": None if replicates is None else interval(replicates),
        "chance": record.get("chance"),
        "images": record.get("size_found"),
        "size": record["task"].get("size"),
        "bad_images": record.get("bad_images"),
        "log_probability": record.get("log_probability"),
        "margin": record.get("margin"),
        "data": DataIdentity(data.get("contents", {}), {}).digest,
    }


def _metric(record: Mapping[str, Any]) -> str | None:
    name: str | None = record.get("main_metric", record["task"].get("main_metric"))
    return name


def _is_as_defined(record: Mapping[str, Any], task: Task) -> bool:
    """A score on the whole set of a task that is DataComp's."""
    wanted = task_fields(task)
    is_same = all(record["task"].get(name) == wanted[name] for name in ("size", "main_metric"))
    is_whole = record.get("size_found", task.size) == task.size
    return is_same and is_whole and record["metrics"]["main_metric"] is not None


def _papers_score(record: Mapping[str, Any]) -> float:
    metrics = record["metrics"]
    score: float = metrics.get(record["task"]["main_metric"], metrics["main_metric"])
    return score
