"""Records, averages and the files that hold them."""

import math

import pytest

from datascaler.evaluate.results import Outcome, task_record
from datascaler.evaluate.summary import summarise
from datascaler.evaluate.tasks import Task, load_tasks, task_fields
from tests.evaluate.sets import task_of
from tests.tiny_clip import tiny_loaded_clip

MODEL = {"arch": "tiny", "weights_hash": "00"}


def _record(task: Task, score: float | None) -> dict[str, object]:
    return {"key": task.key, "metrics": {"main_metric": score}, "task": task_fields(task)}


def test_non_finite_metrics_become_null() -> None:
    outcome = Outcome({"acc1": math.nan, "acc5": math.inf, "other": 0.5}, None, images=3, bad_images=0)
    record = task_record(task_of("a", 3), tiny_loaded_clip(0), None, outcome)
    assert record["metrics"] == {"acc1": None, "acc5": None, "other": 0.5, "main_metric": None}
    assert "note" not in record


def test_averages_over_all_38() -> None:
    tasks = load_tasks()
    records = [_record(task, index / 100 if task.main_metric else None) for index, task in enumerate(tasks)]
    summary = summarise(tasks, records, model=MODEL, missing=[], pending=[])
    assert (summary.scored, summary.evaluated) == (38, 40)
    assert summary.average == summary.average_38 == pytest.approx(sum(range(38)) / 38 / 100)
    assert summary.to_json()["average_38"] == summary.average_38
    assert {name: (group.scored, group.tasks) for name, group in summary.groups.items()} == {
        "ImageNet": (1, 1),
        "IN shifts": (6, 6),
        "VTAB": (13, 13),
        "Retrieval": (3, 3),
    }
    assert summary.groups["Retrieval"].average == pytest.approx(0.31)
    assert summary.groups["ImageNet"].average == pytest.approx(0.11)


def test_average_38_needs_every_task_as_datacomp_defines_it() -> None:
    tasks = load_tasks()
    records = [_record(task, 0.5) for task in tasks]
    assert summarise(tasks, records[1:], model=MODEL, missing=[], pending=[]).average_38 is None
    unscored = [_record(tasks[0], None), *records[1:]]
    assert summarise(tasks, unscored, model=MODEL, missing=[], pending=[]).average_38 is None
    redefined = {**records[0], "task": {**task_fields(tasks[0]), "main_metric": "acc1"}}
    assert summarise(tasks, [redefined, *records[1:]], model=MODEL, missing=[], pending=[]).average_38 is None
    own = _record(task_of("mine", 3), 0.1)
    summary = summarise(tasks, [*records, own], model=MODEL, missing=[], pending=[])
    assert summary.average_38 == pytest.approx(0.5)
    assert summary.average != summary.average_38
