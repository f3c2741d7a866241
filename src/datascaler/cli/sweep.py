"""`datascaler sweep`."""

from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from datascaler.cli.options import COUNT, json_option, list_of, spec_option, usage_errors_of
from datascaler.cli.output import begin_work, note, print_result, print_table, show_finished, suggest
from datascaler.cli.train_options import train_options, train_spec
from datascaler.errors import PartlyFailedError
from datascaler.spec.sweep import AXES, SweepSpec
from datascaler.spec.train import TrainSpec

if TYPE_CHECKING:
    from datascaler.data.runs.sweep_results import SweepResult


_flag = partial(spec_option, SweepSpec)


@click.command()
@train_options
@_flag("lrs", type=list_of(click.FLOAT), default="the scale's x 1/4, 1/2, 1, 2, 4", help="1e-4,2e-4,...")
@_flag("weight_decays", type=list_of(click.FLOAT), default="0.2", help="0.1,0.2,...")
@_flag("warmups", type=list_of(COUNT), default="the scale's", help="Steps: 100,500,...")
@click.option("--collect", is_flag=True, help="Train nothing: rank the points that are complete.")
@json_option
def sweep(nproc_per_node: int, collect: bool, as_json: bool, **options: Any) -> None:
    """Train a grid of learning rates and rank its points by final loss.

    Every point is an ordinary run; complete ones are skipped, so the same command goes on after an interruption. The
    exit code is 104 while points are neither complete nor diverged. On several nodes start it on each, with torchrun's
    variables (PET_NNODES, PET_NODE_RANK, PET_MASTER_ADDR, ...).

    \b
    datascaler sweep --data-dir s3://pool --output-dir s3://runs --scale small \\
        --subset-file s3://out/subsets/clip-f0.3.npy --use-mup --width-mult 0.1875 --lrs 5e-4,1e-3,2e-3
    """
    points = sweep_spec(options).points

    if collect:
        from datascaler.data.runs.sweep_results import collect_sweep as collect_points

        result = show_finished(lambda: collect_points(points), partial(_show, as_json=as_json))
    else:
        begin_work(points[0])

        from datascaler.sweep.sweep_runs import sweep_runs

        result = show_finished(lambda: sweep_runs(points, nproc_per_node, note), partial(_show, as_json=as_json))
    for budget in result.shorter:
        best = budget.best
        note(f"{budget.samples:,} samples: lr {best.lr:g} is best, with loss {best.train_loss:.4f} ({budget.results})")
    for doubt in result.doubts:
        note(f"warning: {doubt}")
    if result.unfinished:
        note(f"{result.unfinished} of {len(result.points)} points are neither complete nor diverged")
        raise click.exceptions.Exit(PartlyFailedError.exit_code)
    suggest(["eval", "--train-dir", result.best.run, "--data-dir", "EVALSETS"], as_json=as_json)


def sweep_spec(options: Mapping[str, Any], *, offline: bool = False) -> SweepSpec:
    """What the flags describe; offline as in `train_spec`."""
    axes = {axis: tuple(options.get(axis) or ()) for axis in AXES.values()}
    base = train_spec(options, offline=offline)
    with usage_errors_of(TrainSpec):
        return SweepSpec(base=base, **axes)


def _show(result: "SweepResult", *, as_json: bool) -> None:
    best = None if result.best.train_loss is None else result.best
    if as_json:
        points = list(map(asdict, result.points))
        print_result({"best": asdict(best) if best else None, "points": points}, as_json=True)
    else:
        columns = ["lr", "weight_decay", "warmup_steps", "train_loss", "run"]
        if any(point.failure for point in result.points):
            columns.append("failure")
        rows = [{name: getattr(point, name) for name in columns} for point in result.points]
        print_table(rows, best=0 if best else None)
