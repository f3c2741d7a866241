"""`datascaler sweep`."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from datascaler.cli.options import COUNT, given, json_option, list_of, spec_option, usage_errors_of
from datascaler.cli.output import begin_work, note, print_result, print_table, show_finished, suggest
from datascaler.cli.train_options import train_options, train_spec
from datascaler.errors import PartlyFailedError
from datascaler.spec.sweep import AXES, MORE_AXES, SweepSpec

if TYPE_CHECKING:
    from datascaler.data.runs.sweep_results import SweepResult


_flag = partial(spec_option, SweepSpec)


@click.command()
@train_options
@_flag("lrs", type=list_of(click.FLOAT), default="the scale's x 1/4, 1/2, 1, 2, 4", help="1e-4,2e-4,...")
@_flag("weight_decays", type=list_of(click.FLOAT), default="0.2", help="0.1,0.2,...")
@_flag("warmups", type=list_of(COUNT), default="the scale's", help="Steps: 100,500,...")
@_flag("batch_sizes", type=list_of(COUNT), default="--batch-size alone", help="512,1024,...")
@_flag("init_temperatures", type=list_of(click.FLOAT), default="--init-temperature alone", help="0.05,0.07,...")
@_flag("seeds", type=list_of(COUNT), default="--seed alone", help="0,1,...: ranked by the mean over them.")
@_flag("stop_above", help="Give up points whose loss half-way is above the best one's by so much: 0.2; 0: none.")
@_flag("transfer", default="", help="Then train at this width, by muP, with the optimum.")
@click.option("--collect", is_flag=True, help="Train nothing: rank the points that are complete.")
@json_option
def sweep(nproc_per_node: int, collect: bool, as_json: bool, **options: Any) -> None:
    """Train a grid of learning rates and rank its points by final loss.

    It says the optimum between them, too, and how sure that is. Every point is an ordinary run; complete ones are
    skipped, so the same command goes on after an interruption. The exit code is 104 while points
    are neither complete nor diverged. On several nodes start it on each, with torchrun's variables (PET_NNODES,
    PET_NODE_RANK, PET_MASTER_ADDR, ...).

    \b
    datascaler sweep --data-dir s3://pool --output-dir s3://runs --scale small \\
        --subset-file s3://out/subsets/clip-f0.3.npy --use-mup --width-mult 0.1875 --lrs 5e-4,1e-3,2e-3
    """
    spec = sweep_spec(options)
    points, show = spec.points, partial(_show, spec=spec, as_json=as_json)

    if collect:
        from datascaler.data.runs.sweep_results import collect_sweep as collect_points

        result = show_finished(lambda: collect_points(points), show)
    else:
        begin_work(points[0])

        from datascaler.sweep.sweep_runs import sweep_runs

        result = show_finished(lambda: sweep_runs(points, nproc_per_node, note, stop_above=spec.stop_above), show)
    for line in _told(result):
        note(line)
    run = result.best.run
    if spec.transfer and not collect:
        from datascaler.sweep.sweep_runs import train_transfer

        run = train_transfer(spec, result, nproc_per_node, note)
    elif result.unfinished:
        note(f"{result.unfinished} of {len(result.points)} points are neither complete nor diverged")
        raise click.exceptions.Exit(PartlyFailedError.exit_code)
    suggest(["eval", "--train-dir", run, "--data-dir", "EVALSETS"], as_json=as_json)


def _told(result: "SweepResult") -> Iterator[str]:
    """What a ranking says beyond its table."""
    for budget in result.shorter:
        best = budget.best
        yield f"{budget.samples:,} samples: lr {best.lr:g} is best, with loss {best.train_loss:.4f} ({budget.results})"
    for each in result.settings:
        if each.of > 1:
            spread = "" if each.deviation is None else f" +- {each.deviation:.4f}"
            yield f"lr {each.setting.lr:g}: loss {each.mean:.4f}{spread}, over {each.done} of {each.of} seeds"
    if optimum := result.optimum:
        yield (
            f"optimum   lr {optimum.lr:.3g}, in {optimum.low:.3g} to {optimum.high:.3g} with 95%: where a parabola "
            f"through {optimum.points} losses is lowest, {optimum.loss:.4f}"
        )
    for doubt in result.doubts:
        yield f"warning: {doubt}"


def _transfer_shown(result: "SweepResult", spec: SweepSpec) -> dict[str, Any] | None:
    """The run that follows at another width; None where the points give no reason for one."""
    from datascaler.data.runs.run_folder import run_url
    from datascaler.data.runs.transfer_spec import transfer_spec
    from datascaler.spec.numbers import format_fraction

    try:
        run = transfer_spec(spec, result)
    except PartlyFailedError:
        return None
    return {"run": run_url(run), "width_mult": format_fraction(run.width_mult), "lr": run.lr}


def sweep_spec(options: Mapping[str, Any], *, offline: bool = False) -> SweepSpec:
    """What the flags describe; offline as in `train_spec`."""
    own: dict[str, Any] = {axis: tuple(options.get(axis) or ()) for axis in (*AXES.values(), *MORE_AXES.values())}
    own |= given({name: options.get(name) for name in ("stop_above", "transfer")})
    base = train_spec(options, offline=offline)
    with usage_errors_of(SweepSpec):
        return SweepSpec(base=base, **own)


def _show(result: "SweepResult", *, spec: SweepSpec, as_json: bool) -> None:
    best = None if result.best.train_loss is None else result.best
    if as_json:
        points = list(map(asdict, result.points))
        optimum = asdict(result.optimum) if result.optimum else None
        shown = {"best": asdict(best) if best else None, "optimum": optimum, "points": points}
        if spec.transfer:
            shown["transfer"] = _transfer_shown(result, spec)
        print_result(shown, as_json=True)
    else:
        more = [name for name in MORE_AXES if len({getattr(point, name) for point in result.points}) > 1]
        columns = ["lr", "weight_decay", "warmup_steps", *more, "train_loss", "run"]
        if any(point.failure for point in result.points):
            columns.append("failure")
        rows = [{name: getattr(point, name) for name in columns} for point in result.points]
        print_table(rows, best=0 if best else None)
