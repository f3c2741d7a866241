"""`datascaler eval`."""

from collections.abc import Mapping
from dataclasses import fields
from functools import partial
from typing import Any

import click

from datascaler.cli.compare import compare
from datascaler.cli.download import download
from datascaler.cli.options import given, index_options, json_option, spec_option, spec_options, usage_errors_of
from datascaler.cli.output import begin_work, note, print_result, print_table, show_finished, suggest
from datascaler.cli.verb_group import VerbGroup
from datascaler.spec.evaluate import EvalSpec

_flag = partial(spec_option, EvalSpec)


@click.group(name="eval", cls=VerbGroup)
@spec_options(
    _flag("train_dir", help="Evaluate the runs at or below this folder or URL."),
    _flag("pretrained", help="Evaluate this instead: an open_clip tag, a weights file or a run's URL."),
    _flag("model", help="open_clip model name, hf-hub: or local-dir: (with or without --pretrained)."),
    _flag("image_size", help="Side of the images that the model sees, where it isn't the architecture's."),
    _flag("context_length", help="Tokens of a text that the model sees, where it isn't the architecture's."),
    _flag("data_dir", required=True, help="Folder or URL of the evaluation sets."),
    _flag("task_dir", default="DataComp's 40 tasks", help="Folder with a tasklist.yml."),
    _flag("tasks", default="", help="Only these, by key or name, with *: imagenet*,vtab/*."),
    _flag("output_dir", default="RUN/eval", help="Where results go."),
    _flag("eval_every", default="", help="Follow runs that still train: a checkpoint every so many samples, say 1M."),
    _flag("scale", help="Only runs of this scale."),
    _flag("method", help="Only runs on subsets chosen by this method."),
    _flag("fraction", help="Only runs on this fraction."),
    _flag("model_arch", help="Only runs of this architecture."),
    _flag("width_mult", help="Only runs of this width."),
    _flag("min_width_mult", help="Only runs from this base width."),
    _flag("use_mup", help="Only muP runs; =false: only others."),
    _flag("batch_size"),
    _flag("num_workers", help="Decoding threads."),
    _flag("precision", help="What the towers compute in; fp32 is DataComp's."),
    _flag("allow_partial_sets", is_flag=True, help="Evaluate sets with fewer samples than their tasks."),
    _flag("paper_compatible", is_flag=True, help='FMoW as in published tables: 4 images of "Other" are a region.'),
)
@index_options
@_flag("overwrite", is_flag=True, help="Replace results of other weights.")
@json_option
def evaluate(as_json: bool, **options: Any) -> None:
    """Evaluate models zero-shot on DataComp's tasks.

    Takes every run that fits the filters, or one model. Tasks that are done are skipped. What can't be evaluated is
    listed with its reason; the rest is done, and the exit code is 104 for runs, 65 for evaluation sets.

    \b
    datascaler eval --train-dir s3://runs --scale small --method clip --data-dir s3://evalsets
    datascaler eval --train-dir s3://runs/RUN --data-dir s3://evalsets --tasks imagenet1k --eval-every 1M
    datascaler eval --model ViT-B-32 --pretrained openai --data-dir evalsets --output-dir results
    """
    spec = eval_spec(options)
    begin_work(spec)

    from datascaler import storage
    from datascaler.evaluate.evaluate_clip import evaluate_clip
    from datascaler.models.freed_memory import keep_freed_memory_on_cpu

    keep_freed_memory_on_cpu()
    rows = show_finished(
        partial(evaluate_clip, spec, note),
        partial(_show_model if spec.train_dir is None else _show_runs, as_json=as_json),
    )
    results = [storage.parent(row["results"]) for row in rows if row["scores"]]
    suggest(["eval", "compare", *(results if len(results) > 1 else [*results, "OTHER_RESULTS"])], as_json=as_json)


def eval_spec(options: Mapping[str, Any]) -> EvalSpec:
    names = {each.name for each in fields(EvalSpec)}
    with usage_errors_of(EvalSpec):
        return EvalSpec(**given({name: value for name, value in options.items() if name in names}))


def _show_model(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    """The averages, and a line a task: with its score, or with why it has none."""
    (row,) = rows
    if as_json:
        print_result(row, as_json=True)
        return
    print_table(_averages(row))
    click.echo()
    print_table(_task_lines(row))
    click.echo(f"\nresults  {row['results']}")


def _show_runs(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        print_result({"runs": rows}, as_json=True)
        return
    lines = []
    for row in rows:
        line = {"run": row["run"], "train_loss": row["train_loss"], "average": _with_interval(row, "average")}
        line |= {"tasks": f"{row['scored']} of {row['of']}" if row["of"] else None}
        line |= {"ImageNet": row["scores"].get("imagenet1k"), "remarks": "; ".join(_remarks(row))}
        lines.append(line | ({"failure": row["failure"]} if any(each["failure"] for each in rows) else {}))
    best = next((number for number, row in enumerate(rows) if row["scores"]), None)
    print_table(lines, best=best)


def _averages(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    groups = {"average": {**row, "tasks": row["of"], "interval": row["average_interval"]}, **row["groups"]}
    lines = [
        {"": name, "score": _with_interval(group, "average"), "tasks": f"{group['scored']} of {group['tasks']}"}
        for name, group in (groups | {"decision set": row["decision_set"]}).items()
    ]
    if "average_38" in row:
        lines.append({"": "as in published tables", "score": f"{row['average_38_paper']:.4f}", "tasks": "38 of 38"})
    return lines


def _task_lines(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    lines = []
    for key, task in row["by_task"].items():
        images = "-" if task["images"] is None else f"{task['images']:,} of {task['size']:,}"
        said = [text for text in (row["notes"].get(key), row["warnings"].get(key)) if text]
        lines.append(
            _task_line(key, "; ".join(said), _with_interval(task, "score"), task["metric"], task["chance"], images)
        )
    lines += [_task_line(key, f"failed: {reason}") for key, reason in row["failed"].items()]
    lines += [_task_line(key, "no data") for key in row["missing"]]
    return lines + [_task_line(key, "not evaluated yet") for key in row["pending"]]


def _task_line(
    key: str, remark: str, score: str = "-", metric: str | None = None, chance: float | None = None, images: str = "-"
) -> dict[str, Any]:
    return {"task": key, "score": score, "metric": metric, "chance": chance, "images": images, "remark": remark}


def _remarks(row: Mapping[str, Any]) -> list[str]:
    """What keeps the average from being that of the whole list."""
    kinds = {"no data for": row.get("missing"), "not evaluated yet": row.get("pending"), "failed": row.get("failed")}
    said = [f"{kind} {', '.join(keys)}" for kind, keys in kinds.items() if keys]
    return said + [f"{key}: {text}" for name in ("notes", "warnings") for key, text in row.get(name, {}).items()]


def _with_interval(scored: Mapping[str, Any], name: str) -> str:
    score, interval = scored[name], scored.get("interval", scored.get("average_interval"))
    if score is None:
        return "-"
    return f"{score:.4f}" + (f" ({interval[0]:.4f} to {interval[1]:.4f})" if interval else "")


evaluate.add_command(download)
evaluate.add_command(compare)
