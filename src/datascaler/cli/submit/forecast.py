"""`datascaler submit forecast`."""

from collections.abc import Mapping
from dataclasses import fields
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from datascaler.cli.options import COUNT, FRACTION, INPUT, OUTPUT, WORDS, list_of, spec_option, usage_errors_of
from datascaler.cli.output import note
from datascaler.cli.submit.cluster_options import all_values
from datascaler.cli.submit.drive import driver_options, submit_steps
from datascaler.cli.submit.pipeline_steps import GivenStep, PipelineSteps, given_steps, ladder_specs
from datascaler.cli.submit.run import connect_as_asked, surroundings, without_cluster
from datascaler.errors import StorageError
from datascaler.spec.ladder import LADDER_STEPS, LadderSpec

if TYPE_CHECKING:
    from datascaler.cluster.submit.request import Spec

_flag = partial(spec_option, LadderSpec)
_OWN = (
    _flag("data_dir", type=INPUT, required=True, help="URL of the pool."),
    _flag("output_dir", type=OUTPUT, required=True, help="URL for the runs and for the page, forecast.html."),
    _flag("scale", required=True, help="DataComp's recipe to train by."),
    _flag("subset_files", type=WORDS, required=True, help="URLs of the subsets, a filter each; none: the whole pool."),
    _flag("width_mults", type=list_of(FRACTION), default="1", help="Widths of the models: 0.25,0.5."),
    _flag("branch_at", default="the scale's", help="Budgets of samples, one trunk for all: 4M,8M,16M."),
    _flag("seeds", type=list_of(COUNT), default="0", help="Each is a run of its own."),
    _flag("eval_data_dir", type=INPUT, required=True, help="URL of the evaluation sets."),
    _flag("target", help="Forecast this scale: small, medium, large or xlarge."),
    _flag("target_samples", help="Forecast so many samples seen, in place of a scale: 1.28B."),
    _flag("target_width", default="the widest run's", help="Width multiplier of that forecast."),
)


@click.command(name="forecast")
@driver_options("forecast", _OWN, LADDER_STEPS)
def submit_forecast(**given: Any) -> None:
    """Train several filters at small sizes, evaluate them, and forecast which wins at full size.

    Every filter is trained at every width with every seed, as one list of runs, each of which branches off its budgets
    from one trunk. Then all are evaluated, and the forecast is made with its page. A small driver pod submits the
    steps, so that this machine may go; with --wait it is this command that does. Submitted again, it goes on where it
    stopped. Each step takes the flags of `submit STEP`, cluster flags too:

    \b
    datascaler submit forecast --name which --data-dir s3://pool --output-dir s3://out --scale small \\
        --subset-files s3://out/subsets/clip-f0.3.npy,s3://out/subsets/dfn-f0.2.npy,none --width-mults 0.25,0.5 \\
        --branch-at 4M,8M,16M --seeds 0,1 --eval-data-dir s3://evalsets --target large \\
        --train "--use-mup --gpus 8 --queue team-a" --eval "--count 4"
    """
    if given["wait"] and (given["follow"] or given["form"]):
        raise click.UsageError("--wait drives the steps from here; leave out --follow and --output")
    ladder = ladder_of(given)
    own = given_steps(given, LADDER_STEPS)
    offline = given["dry_run"] == "client"
    # Before anything is asked of a cluster: a wrong flag is found without one.
    specs = _specs(ladder, own, offline=offline)
    cluster = None if offline else connect_as_asked(given)
    around = surroundings(cluster, given) if cluster else without_cluster(given)
    namespace = cluster.namespace if cluster else given["namespace"] or "default"
    steps = PipelineSteps(_name(given, ladder, own), ladder, own, specs, all_values(given), namespace, around)
    submit_steps(steps, cluster, given, ladder.arguments())


def ladder_of(options: Mapping[str, Any]) -> LadderSpec:
    found = {each.name: options[each.name] for each in fields(LadderSpec) if options[each.name] is not None}
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in found.items()}
    with usage_errors_of(LadderSpec):
        return LadderSpec(**values)


def _specs(ladder: LadderSpec, own: Mapping[str, GivenStep], *, offline: bool) -> dict[str, "Spec"]:
    try:
        return ladder_specs(ladder, own, offline=offline)
    except StorageError as error:
        note(f"could not read the subsets' recipes from here: {error}")
        return ladder_specs(ladder, own, offline=True)


def _name(given: Mapping[str, Any], ladder: LadderSpec, own: Mapping[str, GivenStep]) -> str:
    """The given one, or one that is the same for the same work, wherever it runs."""
    from datascaler.cluster.kube.names import check_name, default_name

    words = [*ladder.arguments(), *(str(step.words) for step in own.values())]
    return check_name(given["name"] or default_name("forecast", ladder.scale, words))
