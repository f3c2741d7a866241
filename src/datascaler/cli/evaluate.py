"""`datascaler eval`."""

from collections.abc import Mapping
from dataclasses import fields
from functools import partial
from typing import Any

import click

from datascaler.cli.options import given, index_options, json_option, spec_option, spec_options
from datascaler.cli.output import note, print_result, print_table, show_finished
from datascaler.errors import ConfigError
from datascaler.spec.evaluate import EvalSpec

_flag = partial(spec_option, EvalSpec)


@click.command(name="eval")
@spec_options(
    _flag("train_dir", help="Evaluate the runs at or below this folder or URL."),
    _flag("pretrained", help="Evaluate this instead: an open_clip tag, a weights file or a run's URL."),
    _flag("model", help="open_clip model name, hf-hub: or local-dir: (with or without --pretrained)."),
    _flag("data_dir", required=True, help="Folder or URL of the evaluation sets."),
    _flag("task_dir", default="DataComp's 40 tasks", help="Folder with a tasklist.yml."),
    _flag("tasks", default="", help="Only these, by key or name, with *: imagenet*,vtab/*."),
    _flag("output_dir", default="RUN/eval", help="Where results go."),
    _flag("scale", help="Only runs of this scale."),
    _flag("method", help="Only runs on subsets chosen by this method."),
    _flag("fraction", help="Only runs on this fraction."),
    _flag("model_arch", help="Only runs of this architecture."),
    _flag("width_mult", help="Only runs of this width."),
    _flag("min_width_mult", help="Only runs from this base width."),
    _flag("use_mup", help="Only muP runs; =false: only others."),
    _flag("batch_size"),
    _flag("num_workers", help="Decoding threads."),
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
    datascaler eval --model ViT-B-32 --pretrained openai --data-dir evalsets --output-dir results
    """
    spec = eval_spec(options)

    from datascaler.evaluate.evaluate_clip import evaluate_clip
    from datascaler.models.freed_memory import keep_freed_memory_on_cpu

    keep_freed_memory_on_cpu()
    show_finished(
        partial(evaluate_clip, spec, note),
        partial(_show_model if spec.train_dir is None else _show_runs, as_json=as_json),
    )


def eval_spec(options: Mapping[str, Any]) -> EvalSpec:
    names = {each.name for each in fields(EvalSpec)}
    try:
        return EvalSpec(**given({name: value for name, value in options.items() if name in names}))
    except ConfigError as error:
        raise click.UsageError(str(error)) from error


def _show_model(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    print_result(rows[0], as_json=as_json)


def _show_runs(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        print_result({"runs": rows}, as_json=True)
        return
    columns = ["run", "train_loss", "average", "tasks"]
    if any(row["failure"] for row in rows):
        columns.append("failure")
    best = next((number for number, row in enumerate(rows) if row["scores"]), None)
    print_table([{name: row[name] for name in columns} for row in rows], best=best)
