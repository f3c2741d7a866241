"""`datascaler eval`."""

from fractions import Fraction
from functools import partial
from typing import Any

import click

from datascaler.cli.options import COUNT, FRACTION, TRUTH, index_options, json_option
from datascaler.cli.output import note, print_result, print_table, show_finished
from datascaler.errors import ConfigError


@click.command(name="eval")
@click.option("--train-dir", help="Evaluate the runs at or below this folder or URL.")
@click.option("--pretrained", help="Evaluate this instead: an open_clip tag, a weights file or a run's URL.")
@click.option("--model", help="open_clip model name, hf-hub: or local-dir: (with or without --pretrained).")
@click.option("--data-dir", required=True, help="Folder or URL of the evaluation sets.")
@click.option("--task-dir", help="Folder with a tasklist.yml.  [default: DataComp's 40 tasks]")
@click.option("--tasks", help="Only these, by key or name, with *: imagenet*,vtab/*.")
@click.option("--output-dir", help="Where results go.  [default: RUN/eval]")
@click.option("--scale", help="Only runs of this scale.")
@click.option("--method", help="Only runs on subsets chosen by this method.")
@click.option("--fraction", type=FRACTION, help="Only runs on this fraction.")
@click.option("--model-arch", help="Only runs of this architecture.")
@click.option("--width-mult", type=FRACTION, help="Only runs of this width.")
@click.option("--min-width-mult", type=FRACTION, help="Only runs from this base width.")
@click.option("--use-mup", type=TRUTH, is_flag=False, flag_value="true", help="Only muP runs; =false: only others.")
@click.option("--batch-size", type=COUNT, default=64, show_default=True)
@click.option("--num-workers", type=COUNT, default=4, show_default=True, help="Decoding threads.")
@index_options
@click.option("--overwrite", is_flag=True, help="Replace results of other weights.")
@json_option
def evaluate(
    train_dir: str | None,
    pretrained: str | None,
    model: str | None,
    output_dir: str | None,
    task_dir: str | None,
    tasks: str | None,
    as_json: bool,
    scale: str | None,
    method: str | None,
    fraction: Fraction | None,
    model_arch: str | None,
    width_mult: Fraction | None,
    min_width_mult: Fraction | None,
    use_mup: bool | None,
    **options: Any,
) -> None:
    """Evaluate models zero-shot on DataComp's tasks.

    Takes every run that fits the filters, or one model. Tasks that are done are skipped. What can't be evaluated is
    listed with its reason; the rest is done, and the exit code is 104 for runs, 65 for evaluation sets.

    \b
    datascaler eval --train-dir s3://runs --scale small --method clip --data-dir s3://evalsets
    datascaler eval --model ViT-B-32 --pretrained openai --data-dir evalsets --output-dir results
    """
    if (train_dir is None) == (pretrained is None and model is None):
        raise click.UsageError("give either --train-dir, or --model and --pretrained")

    from datascaler.evaluate.models import evaluate_model, evaluate_runs
    from datascaler.evaluate.tasks import load_tasks, select_tasks

    selected = select_tasks(load_tasks(task_dir), tasks.split(",") if tasks else [])
    options |= {"tasks": selected, "missing_ok": tasks is None}
    if train_dir is None:
        if output_dir is None:
            raise ConfigError("evaluating a model that is not a run needs --output-dir")
        show_finished(
            lambda: evaluate_model(model, pretrained, output_dir=output_dir, say=note, **options),
            partial(print_result, as_json=as_json),
        )
        return
    wanted = {
        "scale": scale,
        "method": method,
        "fraction": fraction,
        "model_arch": model_arch,
        "width_mult": width_mult,
        "min_width_mult": min_width_mult,
        "use_mup": use_mup,
    }
    show_finished(
        lambda: evaluate_runs(train_dir, wanted, output_dir=output_dir, say=note, **options),
        partial(_show_runs, as_json=as_json),
    )


def _show_runs(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        print_result({"runs": rows}, as_json=True)
        return
    columns = ["run", "train_loss", "average", "tasks"]
    if any(row["failure"] for row in rows):
        columns.append("failure")
    best = next((number for number, row in enumerate(rows) if row["scores"]), None)
    print_table([{name: row[name] for name in columns} for row in rows], best=best)
