"""The averages that DataComp reports, over the tasks that were evaluated."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from datascaler.evaluate.results import task_fields
from datascaler.evaluate.tasks import Task, load_tasks

GROUPS = ("ImageNet", "IN shifts", "VTAB", "Retrieval")


@dataclass(frozen=True, slots=True)
class GroupAverage:
    average: float | None
    scored: int
    """Tasks of the group that have a score: the average is over them."""
    tasks: int
    """Tasks of the group in DataComp's list and in this one that have a main metric."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalSummary:
    arch: str
    weights_hash: str
    average: float | None
    """Plain mean of the main metrics; nothing is normalised for chance, as in DataComp."""
    average_38: float | None
    """The same over DataComp's 38 scored tasks; None unless all are there, defined as DataComp defines them."""
    scored: int
    """Tasks that enter the average."""
    evaluated: int
    groups: dict[str, GroupAverage]
    scores: dict[str, float | None]
    """Main metric of each evaluated task, by its key."""
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
            del record["average_38"]
        return record


def summarise(
    tasks: Sequence[Task],
    records: Sequence[Mapping[str, Any]],
    *,
    model: Mapping[str, str],
    missing: Iterable[str],
    pending: Iterable[str],
    failed: Mapping[str, str] | None = None,
) -> EvalSummary:
    """`records` are per-task results; `tasks` may hold more tasks than have one."""
    scores = {record["key"]: record["metrics"]["main_metric"] for record in records}
    return EvalSummary(
        arch=model["arch"],
        weights_hash=model["weights_hash"],
        average=_mean(scores.values()),
        average_38=_average_38(records),
        scored=sum(score is not None for score in scores.values()),
        evaluated=len(scores),
        groups=_groups(tasks, records, scores),
        scores=scores,
        missing=list(missing),
        pending=list(pending),
        failed=dict(failed or {}),
        notes={record["key"]: record["note"] for record in records if "note" in record},
        warnings={record["key"]: record["warning"] for record in records if "warning" in record},
    )


def _groups(
    tasks: Sequence[Task], records: Sequence[Mapping[str, Any]], scores: Mapping[str, float | None]
) -> dict[str, GroupAverage]:
    """DataComp's four groups, each with how much of it was measured."""
    known = {task.key: task for task in [*load_tasks(), *tasks]}
    group_of = {key: task.group for key, task in known.items() if task.main_metric}
    group_of |= {record["key"]: record["task"].get("group") for record in records}
    groups = {}
    for group in GROUPS:
        members = [key for key, name in group_of.items() if name == group]
        found = [scores.get(key) for key in members]
        groups[group] = GroupAverage(_mean(found), sum(score is not None for score in found), len(members))
    return groups


def _average_38(records: Sequence[Mapping[str, Any]]) -> float | None:
    expected = {task.key: task_fields(task) for task in load_tasks() if task.main_metric}
    scores = []
    for record in records:
        wanted = expected.get(record["key"])
        same = wanted is not None and all(record["task"].get(name) == wanted[name] for name in ("size", "main_metric"))
        if same and record["metrics"]["main_metric"] is not None:
            scores.append(record["metrics"]["main_metric"])
    return _mean(scores) if len(scores) == len(expected) else None


def _mean(scores: Iterable[float | None]) -> float | None:
    found = [score for score in scores if score is not None]
    return fmean(found) if found else None
