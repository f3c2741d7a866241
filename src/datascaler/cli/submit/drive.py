"""What `submit pipeline` and `submit forecast` do with their steps: drive them, or send a driver that does."""

import json
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from datascaler.cli.options import json_option
from datascaler.cli.output import note
from datascaler.cli.submit.cluster_options import flags_of
from datascaler.cli.submit.options import COMMON, form_option
from datascaler.cli.submit.run import print_manifests, send_and_tell
from datascaler.stop import ctrl_c_interrupts

if TYPE_CHECKING:
    from datascaler.cli.submit.pipeline_steps import PipelineSteps
    from datascaler.cluster.kube.connect import Cluster
    from datascaler.cluster.submit.submission import Submission


def driver_options(
    verb: str, own: Sequence[Callable[[Any], Any]], steps: Sequence[str]
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The flags of the command: its own, a text of flags for each step, and those of the cluster."""

    def decorated(command: Callable[..., Any]) -> Callable[..., Any]:
        texts = [
            click.option(f"--{step}", metavar="FLAGS", help=f"More flags for `submit {step}`, as one text.")
            for step in steps
        ]
        cluster = [flag.option() for flag in flags_of(verb)]
        for option in reversed((*own, *texts, *COMMON, form_option(verb), *cluster, json_option)):
            command = option(command)
        return command

    return decorated


def submit_steps(
    steps: "PipelineSteps", cluster: "Cluster | None", given: Mapping[str, Any], words: Sequence[str]
) -> None:
    """words: the command's own arguments, without those of steps and cluster."""
    drives = cluster is not None and given["wait"] and given["dry_run"] == "none"
    # What the command itself says comes before what its steps make of it.
    driver = None if drives else _driver(given, steps, words)
    # All of them, before the first: a wrong flag of the last is found now.
    for line in steps.outlook():
        note(line)
    if cluster:
        # And what the server refuses of any of them, before hours are spent on those before it.
        steps.rehearse(cluster.api)
    if cluster and driver is None:
        _drive(cluster, steps, given)
        return
    assert driver is not None
    if cluster is None:
        print_manifests(driver, given["form"] or "yaml")
    elif given["dry_run"] == "server":
        from datascaler.cluster.submit.create import rehearse

        rehearse(cluster.api, driver)
        print_manifests(driver, given["form"] or "yaml")
    else:
        from datascaler.cluster.act.run_step import send_anew

        send_and_tell(cluster, driver, given, send_anew)


def _drive(cluster: "Cluster", steps: "PipelineSteps", given: Mapping[str, Any]) -> None:
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
    note(f"{here}: complete; {steps.outcome}")
    click.echo(json.dumps({"handle": here}) if given["as_json"] else here)


def _driver(given: Mapping[str, Any], steps: "PipelineSteps", words: Sequence[str]) -> "Submission":
    """This very command with --wait, in a pod. The namespace's defaults are those of now, whatever becomes of them."""
    from datascaler.cluster.kube.helm import as_yaml
    from datascaler.cluster.submit.request import Request, describe_request

    arguments = [*words, *steps.words()]
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
