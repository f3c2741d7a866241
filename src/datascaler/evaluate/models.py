"""From what the user names (runs, or one model) to results."""

from collections.abc import Callable, Mapping
from typing import Any

from datascaler import storage
from datascaler.data.select_runs import select_runs
from datascaler.evaluate.run import evaluate
from datascaler.models.load import load_clip


def evaluate_runs(
    train_dir: str,
    wanted: Mapping[str, object],
    *,
    output_dir: str | None,
    say: Callable[[str], None] = lambda _: None,
    **options: Any,
) -> list[dict[str, Any]]:
    """Evaluate every run that fits; one row a run, the best train loss first.

    Results go to `<run>/eval`, or below `output_dir` under the run's own path. `options` are those of `evaluate`.
    """
    runs = select_runs(train_dir, wanted)
    rows = []
    for number, run in enumerate(runs):
        mark = ", best train loss" if number == 0 and len(runs) > 1 else ""
        say(f"--- run {number + 1} of {len(runs)}{mark}: {run.url}")
        own = storage.join(output_dir, storage.relative_to(run.url, train_dir)) if output_dir else None
        summary = evaluate_model(None, run.url, output_dir=own or storage.join(run.url, "eval"), **options)
        rows.append({"run": run.url, "train_loss": run.train_loss, "best_train_loss": number == 0, **summary})
    return rows


def evaluate_model(model: str | None, pretrained: str | None, *, output_dir: str, **options: Any) -> dict[str, Any]:
    summary = evaluate(load_clip(model, pretrained), output_dir=output_dir, **options)
    return {
        "average": summary.average,
        "tasks": summary.evaluated,
        "scores": summary.scores,
        "groups": {name: group.average for name, group in summary.groups.items() if group.scored},
        "missing": summary.missing,
        "pending": summary.pending,
        "warnings": summary.warnings,
        "results": storage.join(output_dir, "eval_results.jsonl"),
    }
