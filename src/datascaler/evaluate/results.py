"""The results of a folder: one file a task while work goes on, DataComp's jsonl and a summary when all are there.

eval_results/<task>.json      what was measured, on which model and data; its presence means that the task is done
eval_samples/<task>.parquet   one row a sample
eval_results.jsonl            {"key", "dataset", "metrics"} a line, as DataComp's evaluate writes it
eval_failures/<task>.json     why a task has no result, for the other workers; gone once it has one
eval_summary.json             averages, and the tasks that failed; written last
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from datascaler import storage
from datascaler.errors import ConfigError, NotFoundError, OtherResultError
from datascaler.evaluate.data_identity import NO_DATA, DataIdentity
from datascaler.evaluate.evalset import EvalSet
from datascaler.evaluate.tasks import Task, main_metric_of, samples_url, task_fields
from datascaler.models.loaded import LoadedClip
from datascaler.safe_text import shown

_MODEL_FIELDS = ("weights_hash", "preprocess_hash", "precision")
CONTINUOUS = ("log_probability", "margin")
"""Columns of `eval_samples` whose means tell models apart sooner than what is right or wrong."""
_ANSWERS = ("rank", "found", "predicted_race")
"""Columns of `eval_samples` that are null where an image did not decode; each kind of task has one."""
_RECORD_TYPES: dict[str, type] = {
    "key": str,
    "dataset": str,
    **dict.fromkeys(("metrics", "model", "task", "data"), dict),
}


@dataclass(frozen=True, slots=True)
class Outcome:
    metrics: dict[str, float | None]
    samples: Any
    """pyarrow Table, one row a sample in tar order; nulls where the image did not decode."""
    images: int
    """Images that entered the metrics."""
    bad_images: int
    """Images that did not decode; they enter no metric."""


@dataclass(frozen=True, slots=True)
class Results:
    """The per-task records of one model in one output folder."""

    output_dir: str
    records: dict[str, dict[str, Any]]
    """Each task's record, by the task's key. Records of other models are never among them."""

    def is_done(self, task: Task) -> bool:
        """A result of the same definition, by a version that computed its main metric."""
        record = self.records.get(task.key)
        return record is not None and "note" not in record and _difference(record["task"], task_fields(task)) is None

    def samples(self, task: Task) -> int:
        """How many samples the set had that the task's result is of, those without a readable image too."""
        record = self.records[task.key]
        return int(record.get("size_found", task.size)) + int(record.get("bad_images", 0))

    def require_same(self, task: Task, evalset: EvalSet | None) -> None:
        """Refuse a result of another task definition, or of other data, under this task's name."""
        record = self.records.get(task.key)
        if record is None or "note" in record:
            return
        url = result_url(self.output_dir, task.slug)
        remedy = "overwrite the result or use a new --output-dir"
        expected = task_fields(task)
        field = _difference(record["task"], expected)
        if field is not None:
            raise OtherResultError(
                f"{url}: {field} of task {task.key} was {shown(record['task'].get(field))} and is "
                f"{expected.get(field)!r} now; {remedy}"
            )
        if evalset:
            before = DataIdentity(record["data"].get("contents", {}), record["data"].get("seen", {}))
            now = evalset.identity(known=before)
            if changed := before.changed(now):
                raise OtherResultError(
                    f"{url}: data of task {task.key} was {before.digest} and is {now.digest} now, for "
                    f"{', '.join(changed)} in {evalset.folder} changed; {remedy}"
                )


def read_results(output_dir: str, model: LoadedClip, *, overwrite: bool) -> Results:
    """All per-task records; those of another model are an error, or are left out when they may be overwritten."""
    records: dict[str, dict[str, Any]] = {}
    for info in storage.list_files(storage.join(output_dir, "eval_results"), ".json"):
        record = _checked(info.url, storage.read_json(info.url))
        names = [name for name in _MODEL_FIELDS if name != "precision" or name in record["model"]]
        field = _difference(record["model"], model_fields(model), names)
        if field is None:
            records[record["key"]] = record
        elif not overwrite:
            raise ConfigError(
                f"{info.url}: is of a model with {field} {str(record['model'].get(field))[:12]}, this one has "
                f"{model_fields(model)[field][:12]}; overwrite the results or use a new --output-dir"
            )
    return Results(output_dir, records)


def publish_task(output_dir: str, task: Task, model: LoadedClip, evalset: EvalSet | None, outcome: Outcome) -> None:
    """The samples first, then the record: whoever sees the record finds both."""
    if outcome.samples is not None:
        footer = {"task": task.key, **model_fields(model)}
        with storage.publish(samples_url(output_dir, task.key)) as file:
            pq.write_table(outcome.samples.replace_schema_metadata(footer), file)
    storage.publish_json(result_url(output_dir, task.slug), task_record(task, model, evalset, outcome))
    forget_failure(output_dir, task)


def publish_failure(output_dir: str, task: Task, reason: str) -> None:
    storage.publish_record(_failure_url(output_dir, task), {"key": task.key, "reason": reason})


def forget_failure(output_dir: str, task: Task) -> None:
    """What an earlier start could not do is to be tried again, or is done."""
    if storage.exists(_failure_url(output_dir, task)):
        storage.remove(_failure_url(output_dir, task))


def read_failures(output_dir: str) -> dict[str, str]:
    """Why tasks failed, by their keys, whichever worker tried them."""
    records = []
    for info in storage.list_files(storage.join(output_dir, "eval_failures"), ".json"):
        with suppress(NotFoundError):  # its worker tries again, or has done it meanwhile
            records.append(storage.read_record(info.url))
    return {str(record.get("key")): str(record.get("reason")) for record in records}


def task_record(task: Task, model: LoadedClip, evalset: EvalSet | None, outcome: Outcome) -> dict[str, Any]:
    metrics = {name: _finite(value) for name, value in outcome.metrics.items()}
    record: dict[str, Any] = {
        "key": task.key,
        "dataset": task.name,
        "metrics": {**metrics, "main_metric": metrics.get(task.main_metric) if task.main_metric else None},
        "task": task_fields(task),
        "model": model_fields(model),
        "data": asdict(evalset.identity() if evalset else NO_DATA),
        "size_expected": task.size,
        "size_found": outcome.images,
        "bad_images": outcome.bad_images,
        "chance": _chance(task, evalset, outcome),
        **{name: _mean(outcome.samples, name) for name in CONTINUOUS},
    }
    warning = _warning(task, model, evalset, outcome)
    if warning:
        record["warning"] = warning
    return record


def with_main_metric(record: Mapping[str, Any], *, paper_compatible: bool) -> dict[str, Any]:
    """The record with the main metric that is asked for, where its task has two."""
    metrics = {name: value for name, value in record["metrics"].items() if name != "main_metric"}
    name = main_metric_of(record["task"].get("main_metric"), metrics, paper_compatible=paper_compatible)
    return {**record, "main_metric": name, "metrics": {**metrics, "main_metric": metrics.get(name) if name else None}}


def publish_lines(output_dir: str, records: Iterable[Mapping[str, Any]]) -> None:
    lines = (
        json.dumps({name: record[name] for name in ("key", "dataset", "metrics")}, allow_nan=False)
        for record in records
    )
    storage.publish_text(storage.join(output_dir, "eval_results.jsonl"), "".join(f"{line}\n" for line in lines))


def result_url(output_dir: str, slug: str) -> str:
    return storage.join(output_dir, "eval_results", f"{slug}.json")


def _failure_url(output_dir: str, task: Task) -> str:
    return storage.join(output_dir, "eval_failures", f"{task.slug}.json")


def model_fields(model: LoadedClip) -> dict[str, str]:
    return {
        **({"unfinished": model.unfinished} if model.unfinished else {}),
        "arch": model.arch,
        "weights_hash": model.weights_hash,
        "preprocess_hash": model.preprocess_hash,
        "precision": model.precision,
    }


def _checked(url: str, record: Any) -> dict[str, Any]:
    if isinstance(record, dict):
        wrong = [name for name, kind in _RECORD_TYPES.items() if not isinstance(record.get(name), kind)]
        if not wrong:
            return record
    raise ConfigError(f"{url}: is not a result of an evaluation by this version; remove it or use a new --output-dir")


def _difference(
    found: Mapping[str, Any], expected: Mapping[str, Any], names: Sequence[str] | None = None
) -> str | None:
    """The first field that differs."""
    return next((name for name in names or list(expected) if found.get(name) != expected.get(name)), None)


def _chance(task: Task, evalset: EvalSet | None, outcome: Outcome) -> float | None:
    """The main metric of guessing: as the task list has it, else that of one guess of all classes alike."""
    metric = task.main_metric or ""
    classes = len(evalset.classnames) if evalset else 0
    if metric == "F1-macro_all":
        # Each class is hit by its share of the guesses. The list's number is the accuracy of always the same guess.
        seen = np.bincount(outcome.samples["label"].to_numpy()) if outcome.images else np.zeros(1)
        seen = seen[seen > 0]
        return float((2 * seen / (classes * seen + seen.sum())).mean()) if len(seen) else None
    if task.random_score is not None:
        return task.random_score
    if "_retrieval_recall@" in metric or metric == "mean_recall@1":
        cut = int(metric.rpartition("@")[2])
        return min(1.0, cut / outcome.images) if outcome.images else None
    if metric.startswith(("acc", "mean_per_class", "recall")) and classes:
        return min(1.0, (5 if metric.startswith(("acc5", "acc_top5")) else 1) / classes)
    return None


def _mean(samples: Any, name: str) -> float | None:
    has_it = samples is not None and name in samples.column_names
    return _finite(pc.mean(samples[name]).as_py()) if has_it else None


def _warning(task: Task, model: LoadedClip, evalset: EvalSet | None, outcome: Outcome) -> str:
    """What makes the score not comparable with others of this task. DataComp itself checks none of it."""
    parts = [f"the run of these weights has not ended: {model.unfinished}"] if model.unfinished else []
    if evalset is None:
        return "; ".join(parts)
    if outcome.images != task.size:
        parts.append(f"{outcome.images} images were evaluated, the task has {task.size}")
    if outcome.bad_images:
        parts.append(f"{outcome.bad_images} images do not decode{_first_bad(outcome.samples)}")
    blank = evalset.templates.count("")
    if blank:
        parts.append(f"{blank} of {len(evalset.templates)} templates are blank lines, whose prompt is empty")
    return "; ".join(parts)


def _first_bad(samples: Any) -> str:
    """The first sample without an answer."""
    answers = next((name for name in _ANSWERS if name in samples.column_names), None) if samples is not None else None
    place = pc.index(samples[answers].is_null(), True).as_py() if answers else -1
    return f", the first is {samples['key'][place]}" if place >= 0 else ""


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
