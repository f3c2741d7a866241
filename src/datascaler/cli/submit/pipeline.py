"""`datascaler submit pipeline`."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import click

from datascaler.cli.options import FRACTION
from datascaler.cli.submit.cluster_options import all_values
from datascaler.cli.submit.drive import driver_options, submit_steps
from datascaler.cli.submit.pipeline_steps import GivenStep, PipelineSteps, given_steps, step_specs
from datascaler.cli.submit.run import connect_as_asked, surroundings, without_cluster
from datascaler.spec.pipeline import STEPS, PipelineSpec

_OWN = (
    click.option("--data-dir", required=True, help="URL of the pool."),
    click.option("--output-dir", required=True, help="URL below which everything goes."),
    click.option("--method", required=True, help="How to score."),
    click.option("--fraction", type=FRACTION, required=True, help="Part of the pool to keep."),
    click.option("--scale", required=True, help="DataComp's recipe to train by."),
    click.option("--eval-data-dir", help="URL of the evaluation sets; none leaves evaluation out."),
)


@click.command(name="pipeline")
@driver_options("pipeline", _OWN, STEPS)
def submit_pipeline(**given: Any) -> None:
    """Run score, subset, (sweep), train and eval one after another, each when the one before it is complete.

    A small driver pod submits the steps, so that this machine may go; with --wait it is this command that does.
    Submitted again, a pipeline goes on where it stopped. Each step takes the flags of `submit STEP`, cluster flags too:

    \b
    datascaler submit pipeline --name first --data-dir s3://pool --output-dir s3://out --method clip --fraction 0.3 \\
        --scale small --eval-data-dir s3://evalsets --score "--count 16" \\
        --train "--workers 4 --gpus 8 --use-mup --width-mult 0.1875" --eval "--count 4"
    """
    if given["wait"] and (given["follow"] or given["form"]):
        raise click.UsageError("--wait drives the pipeline from here; leave out --follow and --output")
    own = given_steps(given)
    shared = all_values(given)
    offline = given["dry_run"] == "client"
    cluster = None if offline else connect_as_asked(given)
    around = surroundings(cluster, given) if cluster else without_cluster(given)
    namespace = cluster.namespace if cluster else given["namespace"] or "default"
    pipeline = PipelineSpec(**{each.name: given[each.name] for each in fields(PipelineSpec)})
    name = _name(given, own)
    specs = step_specs(pipeline, own, has_sweep=given["sweep"] is not None)
    submit_steps(
        PipelineSteps(name, pipeline, own, specs, shared, namespace, around), cluster, given, _own_words(given)
    )


def _own_words(given: Mapping[str, Any]) -> list[str]:
    words = []
    for flag in ("data-dir", "output-dir", "method", "fraction", "scale", "eval-data-dir", "logs"):
        value = given[flag.replace("-", "_")]
        words += [f"--{flag}", str(value)] if value is not None else []
    return words


def _name(given: Mapping[str, Any], own: Mapping[str, GivenStep]) -> str:
    """The given one, or one that is the same for the same work, wherever it runs."""
    from datascaler.cluster.kube.names import check_name, default_name

    words = [*_own_words(given), *(str(step.words) for step in own.values())]
    return check_name(given["name"] or default_name("pipeline", given["scale"], words))
