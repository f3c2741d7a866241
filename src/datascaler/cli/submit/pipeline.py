"""`datascaler submit pipeline`."""

import json
import shlex
import time
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import click

from datascaler.cli.options import FRACTION, json_option
from datascaler.cli.output import note
from datascaler.cli.submit.cluster_options import all_values, flags_of
from datascaler.cli.submit.options import COMMON
from datascaler.cli.submit.pipeline_steps import GivenStep, PipelineSteps, given_steps, step_specs
from datascaler.cli.submit.run import connect_as_asked, print_manifests, send_and_tell, surroundings, without_cluster
from datascaler.spec.pipeline import STEPS, PipelineSpec
from datascaler.stop import ctrl_c_interrupts

if TYPE_CHECKING:
    from datascaler.cluster.kube.connect import Cluster
    from datascaler.cluster.submit.submission import Submission


def pipeline_options(command: Callable[..., Any]) -> Callable[..., Any]:
    own = (
        click.option("--data-dir", required=True, help="URL of the pool."),
        click.option("--output-dir", required=True, help="URL below which everything goes."),
        click.option("--method", required=True, help="How to score."),
        click.option("--fraction", type=FRACTION, required=True, help="Part of the pool to keep."),
        click.option("--scale", required=True, help="DataComp's recipe to train by."),
        click.option("--eval-data-dir", help="URL of the evaluation sets; none leaves evaluation out."),
        *(
            click.option(f"--{verb}", metavar="FLAGS", help=f"More flags for `submit {verb}`, as one text.")
            for verb in STEPS
        ),
    )
    for option in reversed((*own, *COMMON, *(flag.option() for flag in flags_of("pipeline")), json_option)):
        command = option(command)
    return command


@click.command(name="pipeline")
@pipeline_options
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
    steps = PipelineSteps(name, pipeline, own, specs, shared, namespace, around)
    # All of them, before the first: a wrong flag of the last is found now.
    for line in steps.outlook():
        note(line)
    if cluster:
        # And what the server refuses of any of them, before hours are spent on those before it.
        steps.rehearse(cluster.api)
    if cluster and given["wait"] and given["dry_run"] == "none":
        _drive(cluster, steps, given)
        return
    driver = _driver(given, steps)
    if cluster is None:
        print_manifests(driver, given["form"] or "yaml")
    elif given["dry_run"] == "server":
        from datascaler.cluster.submit.create import rehearse

        rehearse(cluster.api, driver)
        print_manifests(driver, given["form"] or "yaml")
    else:
        from datascaler.cluster.act.run_step import send_anew

        send_and_tell(cluster, driver, given, send_anew)


def _drive(cluster: "Cluster", steps: PipelineSteps, given: Mapping[str, Any]) -> None:
    """Submit and await each step from here."""
    from datascaler.cluster.act.run_step import carry_out

    here = f"{cluster.namespace}/{steps.name}"
    deadline = time.monotonic() + given["timeout"] if given["timeout"] is not None else None
    for number, verb in enumerate(steps.specs, start=1):
        note(f"--- step {number} of {len(steps.specs)}: {verb}")
        submission = steps.describe(verb)
        left = max(0.0, deadline - time.monotonic()) if deadline is not None else None
        try:
            with ctrl_c_interrupts():
                carry_out(cluster.api, cluster.namespace, verb, submission, note, timeout=left)
        except KeyboardInterrupt:
            note(f"\ndetached from {here}; this step goes on, the next ones don't start. The same command goes on")
            raise click.exceptions.Exit(101) from None
        if verb == "sweep":
            steps = steps.with_best_point()
            note(f"sweep: the best point is {shlex.join(steps.point_words)}")
    note(f"{here}: complete; results are below {steps.pipeline.runs_dir}")
    click.echo(json.dumps({"handle": here}) if given["as_json"] else here)


def _driver(given: Mapping[str, Any], steps: PipelineSteps) -> "Submission":
    """This very command with --wait, in a pod. The namespace's defaults are those of now, whatever becomes of them."""
    from datascaler.cluster.kube.helm import as_yaml
    from datascaler.cluster.submit.request import Request, describe_request

    arguments = [*_own_words(given), *steps.words()]
    for flag, values in (("--values", steps.shared), ("--defaults", steps.around.defaults)):
        arguments += [flag, as_yaml(values, sort_names=True)] if values else []
    request = Request(
        verb="pipeline",
        spec=steps.pipeline,
        words=arguments,
        logs=given["logs"],
        name=steps.name,
        flags=dict(steps.shared),
    )
    return describe_request(request, steps.namespace, steps.around)


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
