"""Evaluation of what the user names: the runs of a folder, or one model."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from datascaler import storage
from datascaler.data.runs.datacomp_info import read_datacomp_run
from datascaler.data.runs.follow_runs import follow_runs
from datascaler.data.runs.select_runs import select_runs
from datascaler.errors import (
    BadInputError,
    ConfigError,
    DatascalerError,
    PartlyFailedError,
    TryAgainError,
)
from datascaler.evaluate.evaluate_tasks import evaluate_tasks
from datascaler.evaluate.own_sets import tasks_of
from datascaler.evaluate.summary import EvalSummary
from datascaler.evaluate.tasks import select_tasks
from datascaler.models.load import load_clip
from datascaler.spec.evaluate import EvalSpec

_Say = Callable[[str], None]
_PRECISIONS: dict[str, Any] = {"fp32": "float32", "bf16": "bfloat16"}
_NOT_COMPLETE = "the run is not complete: these are the scores of its newest checkpoint"


def evaluate_clip(spec: EvalSpec, say: _Say = lambda _: None) -> list[dict[str, Any]]:
    """Evaluate a model, or every run of a folder that fits, zero-shot on classification and retrieval tasks.

    Tasks that are done are skipped. Results go to `<output_dir>/eval_results.jsonl` (DataComp's format),
    `eval_summary.json` and `eval_samples/`; those of a run to its own folder `eval` where no `output_dir` is given.
    With `eval_every`, checkpoints of runs that still train are evaluated first, as they come, to `checkpoints/` there.

    Args:
        spec: the models, the evaluation sets, and which of the tasks.
        say: gets lines for people.

    Returns a row a model: `scores` (task key -> main metric, a part of 1 or None), `average` (their mean or None, over
    `scored` of the `of` tasks that have a main metric) and `average_interval` (95%, by bootstrap over samples), `tasks`
    (how many were evaluated), `groups` and `decision_set` (each with `average`, `interval`, `scored`, `tasks`),
    `average_38`, `average_38_interval` and `average_38_paper` where all of DataComp's 38 are there, `by_task` (metric,
    interval, chance, images and size of each score), `missing`, `pending`, `failed` (task key -> reason), `notes`,
    `warnings`, `results` (URL). The row of a run also has `run`, `train_loss`, `best_train_loss` and `failure`; the
    best loss is first.

    Raises ConfigError for a spec, model or task list that can't be used; after all other work BadInputError for
    evaluation sets, and PartlyFailedError for runs, that could not be evaluated, with the rows as its `finished`.

    Example:
        >>> spec = EvalSpec(
        ...     data_dir="evalsets",
        ...     model="local-dir:model",
        ...     output_dir="results",
        ...     tasks=("cifar10",),
        ...     allow_partial_sets=True,
        ... )
        >>> (row,) = evaluate_clip(spec)
        >>> row["tasks"], list(row["scores"]), 0 <= row["average"] <= 1
        (1, ['cifar10'], True)
        >>> f"{row['scored']} of {row['of']}", "average_38" in row
        ('1 of 38', False)
    """
    listed, data_dir = tasks_of(spec.task_dir, spec.data_dir)
    options: dict[str, Any] = {
        "data_dir": data_dir,
        "tasks": select_tasks(listed, spec.tasks),
        "listed": listed,
        "precision": spec.precision,
        "paper_compatible": spec.paper_compatible,
        "missing_ok": not spec.tasks,
        "allow_partial_sets": spec.allow_partial_sets,
        "batch_size": spec.batch_size,
        "num_workers": spec.num_workers,
        "index": spec.index,
        "count": spec.count,
        "overwrite": spec.overwrite,
    }
    if spec.train_dir is not None:
        if spec.eval_every:

            def evaluate(checkpoint: str, folder: str) -> dict[str, Any]:
                return evaluate_model(None, checkpoint, output_dir=folder, say=say, **options)

            results_of = partial(_results_of, spec.train_dir, spec.output_dir)
            follow_runs(spec.train_dir, spec.wanted, spec.eval_every, results_of, evaluate, say)
        return evaluate_runs(spec.train_dir, spec.wanted, output_dir=spec.output_dir, say=say, **options)
    assert spec.output_dir is not None
    try:
        options |= {"image_size": spec.image_size, "context_length": spec.context_length}
        return [evaluate_model(spec.model, spec.pretrained, output_dir=spec.output_dir, say=say, **options)]
    except DatascalerError as error:
        error.finished = error.finished and [error.finished]
        raise


def evaluate_runs(
    train_dir: str,
    wanted: Mapping[str, object],
    *,
    output_dir: str | None,
    say: _Say = lambda _: None,
    **options: Any,
) -> list[dict[str, Any]]:
    """Evaluate every run that fits; one row a run, the best train loss first, those without scores last.

    Results go to `<run>/eval`, or below `output_dir` under the run's own path. `options` are those of `evaluate`.
    A run that is damaged, diverged or not complete has the reason as `failure` in its row, and the others go on.

    Raises PartlyFailedError after them, with the rows as `finished`; where no run has scores BadInputError, or the
    error of the only run.
    """
    left_out: dict[str, str] = {}
    runs = select_runs(train_dir, wanted, left_out)
    rows = []
    errors: list[DatascalerError] = []
    for number, run in enumerate(runs):
        mark = ", best train loss" if number == 0 and len(runs) > 1 else ""
        say(f"--- run {number + 1} of {len(runs)}{mark}: {run.url}")
        own = _results_of(train_dir, output_dir, run.url)
        row = {"run": run.url, "train_loss": run.train_loss, "best_train_loss": number == 0}
        try:
            scores = evaluate_model(None, run.url, output_dir=own, say=say, **options)
            row |= {**scores, "failure": "" if run.summary else _NOT_COMPLETE}
        except TryAgainError:
            raise
        except DatascalerError as error:
            say(f"run {number + 1} failed, the others go on: {error}")
            errors.append(error)
            row |= {**(error.finished or _NO_SCORES), "failure": str(error)}
        rows.append(row)
    for url, reason in left_out.items():
        rows.append({"run": url, "train_loss": None, "best_train_loss": False, **_NO_SCORES, "failure": reason})
    _raise_for_failures(rows, errors)
    return rows


def _results_of(train_dir: str, output_dir: str | None, run: str) -> str:
    """The folder of a run's results."""
    return storage.join(output_dir, storage.relative_to(run, train_dir)) if output_dir else storage.join(run, "eval")


def evaluate_model(
    model: str | None,
    pretrained: str | None,
    *,
    output_dir: str,
    precision: str = "fp32",
    say: _Say = lambda _: None,
    image_size: int | None = None,
    context_length: int | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Evaluate one model. Raises as `evaluate` does, with what this returns as `finished`."""
    try:
        theirs = read_datacomp_run(pretrained) if pretrained and not model else None
        named = theirs or (model, pretrained)
        loaded = load_clip(*named, image_size=image_size, context_length=context_length)
        loaded = replace(loaded, chosen_precision=_PRECISIONS[precision])
        summary = evaluate_tasks(loaded, output_dir=output_dir, say=say, **options)
    except DatascalerError as error:
        if isinstance(error.finished, EvalSummary):
            error.finished = _scores(error.finished, output_dir)
        raise
    return _scores(summary, output_dir)


def _scores(summary: EvalSummary, output_dir: str) -> dict[str, Any]:
    whole = ("average_38", "average_38_interval", "average_38_paper")
    return {
        "average": summary.average,
        "average_interval": summary.average_interval,
        "scored": summary.scored,
        "of": summary.tasks,
        **({name: getattr(summary, name) for name in whole} if summary.average_38 is not None else {}),
        "tasks": summary.evaluated,
        "scores": summary.scores,
        "groups": {name: asdict(group) for name, group in summary.groups.items() if group.scored},
        "decision_set": asdict(summary.decision_set),
        "by_task": summary.by_task,
        "missing": summary.missing,
        "pending": summary.pending,
        "failed": summary.failed,
        "notes": summary.notes,
        "warnings": summary.warnings,
        "results": storage.join(output_dir, "eval_results.jsonl"),
    }


_NO_SCORES: dict[str, Any] = {
    "average": None,
    "average_interval": None,
    "scored": 0,
    "of": None,
    "tasks": 0,
    "scores": {},
    "groups": {},
    "by_task": {},
    "failed": {},
}
"""What the row of a run that could not be evaluated has in their place."""


def _raise_for_failures(rows: list[dict[str, Any]], errors: list[DatascalerError]) -> None:
    failed = [row for row in rows if row["failure"]]
    if not failed:
        return
    if len(rows) == len(errors) == 1:
        raise errors[0].after(rows)
    reasons = "; ".join(f"{row['run']}: {row['failure']}" for row in failed)
    if any(row["scores"] for row in rows):
        raise PartlyFailedError(f"{len(failed)} of {len(rows)} runs are not evaluated to the end: {reasons}").after(
            rows
        )
    kind = ConfigError if all(isinstance(error, ConfigError) for error in errors) else BadInputError
    raise kind(f"none of {len(rows)} runs could be evaluated: {reasons}").after(rows)
