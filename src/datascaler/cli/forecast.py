"""`datascaler forecast`."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from datascaler.cli.options import given, json_option, spec_option, spec_options
from datascaler.cli.output import note, print_result, print_table
from datascaler.errors import ConfigError
from datascaler.safe_text import printable_lines, redacted
from datascaler.spec.forecast import ForecastSpec

if TYPE_CHECKING:
    from datascaler.forecasting.forecast_runs import Forecast

_flag = partial(spec_option, ForecastSpec)


@click.command("forecast")
@click.argument("runs", nargs=-1, required=True, metavar="RUNS...")
@spec_options(
    _flag("target", help="The scale to forecast: small, medium, large or xlarge."),
    _flag("target_samples", help="Samples seen at the target, in place of a scale: 1.28B."),
    _flag("target_width", default="the widest run's", help="Width multiplier at the target."),
    _flag("target_pool", default="the scale's, or the runs'", help="Samples that filters choose from at the target."),
    _flag("metric", help="average, imagenet, shifts, vtab, retrieval, or a task by key or name."),
    _flag("margin", help="A difference that matters, as a part of 1."),
    _flag("evidence", help="Use only these."),
    _flag("seed", help="Of the draws."),
)
@json_option
def forecast_command(as_json: bool, **options: Any) -> None:
    """Predict from small runs which filter wins at full size.

    RUNS are folders of training runs that were evaluated, or folders above them: several filters, best at several sizes
    and numbers of samples, some of them with several seeds. Says how good each filter will be, with intervals, the
    probability of each to be the best, what picking it is expected to lose, and what to do: pick one, run more (what,
    and for how many A100-hours), or that these runs can't tell.

    \b
    datascaler forecast s3://runs --target large
    datascaler forecast s3://runs/small s3://runs/medium --target-samples 1.28B --target-width 1 --metric imagenet
    """
    spec = forecast_spec(options)

    from datascaler.forecasting.forecast_runs import forecast

    names = {each.name for each in fields(ForecastSpec)}
    show_forecast(forecast(**{name: getattr(spec, name) for name in names}, say=note), as_json=as_json)


def forecast_spec(options: Mapping[str, Any]) -> ForecastSpec:
    names = {each.name for each in fields(ForecastSpec)}
    try:
        return ForecastSpec(**given({name: value for name, value in options.items() if name in names}))
    except ConfigError as error:
        raise click.UsageError(str(error)) from error


def show_forecast(made: "Forecast", *, as_json: bool) -> None:
    """The verdict first; then filters, what the forecast rests on, and the next run."""
    if as_json:
        print_result(asdict(made), as_json=True)
        return
    _echo(made.verdict)
    if made.filters:
        click.echo()
        print_table([_row(each) for each in map(asdict, made.filters)], best=0 if made.decision == "pick" else None)
    if run := made.next_run:
        cost = "at an unknown cost" if run.a100_hours is None else f"{run.a100_hours:,.3g} A100-hours"
        _echo(
            f"\nnext run: {', '.join(run.filters)} with {run.arch} at width {run.width_mult}, {run.samples:,} samples, "
            f"seed {run.seed}: {run.why}; {cost}, expected regret {run.regret_before:.4f} -> {run.regret_after:.4f}"
        )
    beyond = made.beyond
    _echo(f"\ntarget    {made.arch} at width {made.width_mult}, {made.target_samples:,} samples seen")
    times = f"{beyond.samples:,.3g} times the samples, {beyond.size:,.3g} times the size"
    _echo(f"beyond    {times} and {beyond.compute:,.3g} times the compute of the largest runs")
    click.echo(
        f"metric    {made.metric}, of {made.tasks:,} {'task' if made.tasks == 1 else 'tasks'}, in {made.runs:,} runs"
    )
    for piece in made.evidence:
        _echo(f"{piece.name:<9} {'' if piece.used else 'not used: '}{piece.says}")
    _echo(f"seeds     standard deviation of a run {made.noise:.4f}, from {made.noise_source}")
    for assumption in made.assumptions:
        _echo(f"assumed   {assumption}")


def _echo(text: str) -> None:
    """Names of filters are out of files."""
    click.echo(printable_lines(redacted(text)))


def _row(each: Mapping[str, Any]) -> dict[str, object]:
    def between(low: str, high: str) -> str | None:
        return None if each[low] is None else f"{each[low]:.3f}-{each[high]:.3f}"

    return {
        "filter": each["filter"],
        "predicted": None if each["predicted"] is None else f"{each['predicted']:.3f}",
        "80%": between("low80", "high80"),
        "95%": between("low95", "high95"),
        "best": f"{each['best_probability']:.0%}",
        "expected_regret": f"{each['expected_regret']:.4f}",
    }
