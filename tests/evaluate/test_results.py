"""Records, averages and the files that hold them."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from datascaler.evaluate.results import Outcome, publish_lines, task_record, with_main_metric
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


def test_a_result_of_an_unfinished_runs_weights_says_so() -> None:
    outcome = Outcome({"acc1": 0.5}, None, images=3, bad_images=0)
    model = replace(tiny_loaded_clip(0), unfinished="736 of 9,600 samples seen")
    record = task_record(task_of("a", 3), model, None, outcome)
    assert record["warning"] == "the run of these weights has not ended: 736 of 9,600 samples seen"
    assert record["model"]["unfinished"] == "736 of 9,600 samples seen"
    plain = task_record(task_of("a", 3), tiny_loaded_clip(0), None, outcome)
    assert ("warning" in plain, "unfinished" in plain["model"]) == (False, False)


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


def test_average_38_needs_every_image_of_every_task() -> None:
    tasks = load_tasks()
    records = [_record(task, 0.5 if task.main_metric else None) | {"size_found": task.size} for task in tasks]
    assert summarise(tasks, records, model=MODEL, missing=[], pending=[]).scored_38 == 40 - 2
    cut = [records[0] | {"size_found": tasks[0].size - 1}, *records[1:]]
    summary = summarise(tasks, cut, model=MODEL, missing=[], pending=[])
    assert (summary.average_38, summary.scored_38, summary.scored, summary.tasks) == (None, 37, 38, 38)
    assert not {"average_38", "average_38_interval", "average_38_paper"} & set(summary.to_json())
    assert (summary.by_task[tasks[0].key]["images"], summary.by_task[tasks[0].key]["size"]) == (6084, 6085)


def test_a_selection_says_of_how_many_it_is() -> None:
    tasks = load_tasks()
    summary = summarise(tasks, [_record(task, 0.5) for task in tasks[:5]], model=MODEL, missing=[], pending=[])
    assert (summary.scored, summary.tasks, summary.scored_38) == (5, 38, 5)
    assert (summary.decision_set.scored, summary.decision_set.tasks) == (3, 14)


def test_the_average_of_published_tables_stands_beside_the_one_with_fmow_mended() -> None:
    tasks = load_tasks()
    metrics = {"acc_worst_region": 0.0, "acc_worst_named_region": 0.38, "main_metric": None}
    records = [_record(task, 0.5) for task in tasks if task.key != "wilds/fmow"]
    fmow = next(task for task in tasks if task.key == "wilds/fmow")
    for paper_compatible, score in ((False, 0.38), (True, 0.0)):
        record = {"key": fmow.key, "metrics": metrics, "task": task_fields(fmow)}
        used = with_main_metric(record, paper_compatible=paper_compatible)
        summary = summarise(tasks, [*records, used], model=MODEL, missing=[], pending=[])
        assert summary.scores[fmow.key] == score
        assert summary.average_38 == pytest.approx((37 * 0.5 + score) / 38)
        assert summary.average_38_paper == pytest.approx(37 * 0.5 / 38)


# ---- what DataComp's own scripts do with our lines; their rules, as they are at commit 4a8df19


def _aggregate_scores(lines: list[dict[str, Any]]) -> dict[str, float]:
    """aggregate_scores.py: lines without a main metric leave, 38 must be left, and groups are sets of names."""
    left = [line for line in lines if line["metrics"]["main_metric"] is not None]
    assert len(left) == 38
    by_name = {line["dataset"]: line["metrics"]["main_metric"] for line in left}
    shifts = ("ImageNet Sketch", "ImageNet v2", "ImageNet-A", "ImageNet-O", "ImageNet-R", "ObjectNet")
    return {
        "ImageNet": by_name["ImageNet 1k"],
        "IN shifts": sum(by_name[name] for name in shifts) / 6,
        "Retrieval": sum(by_name[name] for name in ("Flickr", "MSCOCO", "WinoGAViL")) / 3,
        "Average": sum(by_name.values()) / len(by_name),
    }


def test_datacomps_scripts_take_our_lines_and_agree(tmp_path: Path) -> None:
    """evaluate.py evaluates none of them again: it goes by `dataset`, of lines whose `key` is in its list."""
    tasks = load_tasks()
    records = [_record(task, index / 100 if task.main_metric else None) for index, task in enumerate(tasks)]
    publish_lines(str(tmp_path), [record | {"dataset": task.name} for record, task in zip(records, tasks, strict=True)])
    lines = [json.loads(line) for line in (tmp_path / "eval_results.jsonl").read_text().splitlines()]
    summary = summarise(tasks, records, model=MODEL, missing=[], pending=[])
    theirs = _aggregate_scores(lines)
    assert theirs["Average"] == pytest.approx(summary.average_38)
    for group in ("ImageNet", "IN shifts", "Retrieval"):
        assert theirs[group] == pytest.approx(summary.groups[group].average)
    known = {task.key for task in tasks}
    assert {line["dataset"] for line in lines if line["key"] in known} == {task.name for task in tasks}
    with pytest.raises(AssertionError):
        _aggregate_scores(lines[1:])
