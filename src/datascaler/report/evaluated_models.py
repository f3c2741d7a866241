"""Evaluated models, as their folders of results tell of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from datascaler import storage
from datascaler.errors import ConfigError, StorageError
from datascaler.evaluate.read_result import ReadResult, read_result
from datascaler.evaluate.tasks import DECISION_SET, GROUPS, Task, load_tasks
from datascaler.report.blocks import Bounds
from datascaler.report.training_runs import TrainRun, numbered, run_labels

AVERAGES = ("average", *GROUPS, "decision set")
_MOST_NAMED = 8


@dataclass(frozen=True, slots=True)
class Average:
    value: float | None
    scored: int
    tasks: int
    interval: Bounds = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluatedModel:
    """A folder of results."""

    url: str
    label: str
    run: TrainRun | None
    """None for results that lie in no run that was found."""
    scores: Mapping[str, float]
    """Main metric of each task, by its key."""
    intervals: Mapping[str, Bounds]
    averages: Mapping[str, Average]
    failed: Mapping[str, str] = field(default_factory=dict)
    missing: Sequence[str] = ()
    record: Mapping[str, Any] = field(default_factory=dict)
    """What eval_summary.json holds."""

    @property
    def average(self) -> float:
        """-1 for none."""
        value = self.averages["average"].value
        return -1.0 if value is None else value


def read_evaluations(folders: Sequence[str], runs: Sequence[TrainRun]) -> tuple[list[EvaluatedModel], dict[str, str]]:
    """The results, best average first, and why each other folder can't be read."""
    of_folder = {each: run for run in runs for each in (run.url, storage.join(run.url, "eval"))}
    found, failures = [], {}
    for folder in folders:
        try:
            found.append(_read(folder, of_folder.get(folder)))
        except (ConfigError, StorageError) as error:
            failures[folder] = str(error)
    of_runs = iter(run_labels([each.run for each in found if each.run]))
    labels = numbered([next(of_runs) if each.run else each.label for each in found])
    named = [_named(each, label) for each, label in zip(found, labels, strict=True)]
    return sorted(named, key=lambda each: -each.average), failures


def baseline_of(models: Sequence[EvaluatedModel], given: str | None) -> EvaluatedModel | None:
    """The model that others are compared with. Raises ConfigError where the given one is not among them."""
    if given is not None:
        wanted = {given.rstrip("/"), storage.join(given, "eval"), given.removesuffix("/eval_results.jsonl")}
        for model in models:
            if model.url in wanted:
                return model
        known = ", ".join(model.url for model in models[:_MOST_NAMED]) or "none"
        raise ConfigError(f"baseline {given} is not among the results of these runs: {known}")
    plain = [each for each in models if each.run and each.run.spec.method in ("none", "random")]
    ordered = sorted(plain, key=lambda each: (each.run is not None and each.run.spec.method != "none", -each.average))
    return ordered[0] if ordered and len(models) > 1 else None


def _read(folder: str, run: TrainRun | None) -> EvaluatedModel:
    result = read_result(folder)
    url = storage.join(result.folder, "eval_summary.json")
    record = storage.read_json(url) if storage.exists(url) else {}
    record = record if isinstance(record, dict) else {}
    listed = {task.key: task for task in load_tasks()}
    scores = {key: value for key in result.metrics if (value := _main_score(result, key, listed)) is not None}
    by_task = record.get("by_task") if isinstance(record.get("by_task"), dict) else {}
    intervals = {key: _interval(row.get("interval")) for key, row in (by_task or {}).items() if isinstance(row, dict)}
    return EvaluatedModel(
        url=result.folder,
        label=run.label if run else storage.basename(folder.removesuffix("/eval")),
        run=run,
        scores=scores,
        intervals=intervals,
        averages=_averages(scores, record, listed),
        failed=_texts(record.get("failed")),
        missing=[str(each) for each in record.get("missing") or []],
        record=record,
    )


def _named(model: EvaluatedModel, label: str) -> EvaluatedModel:
    values = {name: getattr(model, name) for name in EvaluatedModel.__slots__}
    return EvaluatedModel(**{**values, "label": label})


def _main_score(result: ReadResult, key: str, listed: Mapping[str, Task]) -> float | None:
    """Return the summary's score, else DataComp's own column, else the task's main metric."""
    metrics = result.metrics[key]
    task = listed.get(key)
    if task is not None and task.main_metric is None:
        return None
    for name in (result.main_metrics.get(key), "main_metric", task.main_metric if task else None):
        if name is not None and metrics.get(name) is not None:
            return metrics[name]
    return None


def _averages(scores: Mapping[str, float], record: Mapping[str, Any], listed: Mapping[str, Task]) -> dict[str, Average]:
    """Over the tasks that have a score; intervals are the summary's, where it is of the same number of tasks."""
    members = {
        "average": [
            *(key for key, task in listed.items() if task.main_metric),
            *(k for k in scores if k not in listed),
        ],
        **{group: [key for key, task in listed.items() if task.group == group] for group in GROUPS},
        "decision set": list(DECISION_SET),
    }
    groups = record.get("groups") if isinstance(record.get("groups"), dict) else {}
    told = {
        "average": {"interval": record.get("average_interval"), "scored": record.get("scored")},
        **(groups or {}),
        "decision set": record.get("decision_set"),
    }
    found = {}
    for name, keys in members.items():
        there = [scores[key] for key in keys if key in scores]
        row = told.get(name)
        same = isinstance(row, dict) and row.get("scored") == len(there)
        interval = _interval(row.get("interval")) if isinstance(row, dict) and same else None
        # A list of the user's own has other tasks than DataComp's.
        listed_tasks = record.get("tasks") if name == "average" and same else None
        tasks = listed_tasks if isinstance(listed_tasks, int) else len(keys)
        found[name] = Average(fmean(there) if there else None, len(there), tasks, interval)
    return found


def _interval(value: Any) -> Bounds:
    if isinstance(value, list | tuple) and len(value) == 2 and all(isinstance(each, int | float) for each in value):
        return float(value[0]), float(value[1])
    return None


def _texts(value: Any) -> dict[str, str]:
    return {str(key): str(reason) for key, reason in value.items()} if isinstance(value, dict) else {}
