"""From what the user names (runs, or one model) to results."""

from collections.abc import Callable, Mapping
from typing import Any

from datascaler import storage
from datascaler.data.runs.select_runs import select_runs
from datascaler.errors import (
    BadInputError,
    ConfigError,
    DatascalerError,
    PartlyFailedError,
    TryAgainError,
)
from datascaler.evaluate.evaluate_tasks import evaluate_tasks
from datascaler.evaluate.summary import EvalSummary
from datascaler.models.load import load_clip

_NOT_COMPLETE = "the run is not complete: these are the scores of its newest checkpoint"


def evaluate_runs(
    train_dir: str,
    wanted: Mapping[str, object],
    *,
    output_dir: str | None,
    say: Callable[[str], None] = lambda _: None,
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
        own = storage.join(output_dir, storage.relative_to(run.url, train_dir)) if output_dir else None
        row = {"run": run.url, "train_loss": run.train_loss, "best_train_loss": number == 0}
        try:
            scores = evaluate_model(None, run.url, output_dir=own or storage.join(run.url, "eval"), say=say, **options)
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


def evaluate_model(
    model: str | None,
    pretrained: str | None,
    *,
    output_dir: str,
    say: Callable[[str], None] = lambda _: None,
    **options: Any,
) -> dict[str, Any]:
    """Evaluate one model. Raises as `evaluate` does, with what this returns as `finished`."""
    try:
        summary = evaluate_tasks(load_clip(model, pretrained), output_dir=output_dir, say=say, **options)
    except DatascalerError as error:
        if isinstance(error.finished, EvalSummary):
            error.finished = _scores(error.finished, output_dir)
        raise
    return _scores(summary, output_dir)


def _scores(summary: EvalSummary, output_dir: str) -> dict[str, Any]:
    return {
        "average": summary.average,
        "tasks": summary.evaluated,
        "scores": summary.scores,
        "groups": {name: group.average for name, group in summary.groups.items() if group.scored},
        "missing": summary.missing,
        "pending": summary.pending,
        "failed": summary.failed,
        "warnings": summary.warnings,
        "results": storage.join(output_dir, "eval_results.jsonl"),
    }


_NO_SCORES: dict[str, Any] = {"average": None, "tasks": 0, "scores": {}, "groups": {}, "failed": {}}
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
