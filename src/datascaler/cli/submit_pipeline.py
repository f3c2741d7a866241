"""`datascaler submit pipeline`."""

import json
import shlex
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from datascaler.cli.cluster_options import flags_of, read_values, values_of_flags
from datascaler.cli.options import FRACTION, json_option
from datascaler.cli.output import note
from datascaler.cli.submit_options import COMMON, Step, step_of
from datascaler.cli.submit_run import connect_as_asked, print_manifests, send_and_tell, surroundings, without_cluster

if TYPE_CHECKING:
    from datascaler.cluster.connect import Cluster
    from datascaler.cluster.pipeline import Pipeline
    from datascaler.cluster.submission import Submission
    from datascaler.cluster.surroundings import Surroundings

_STEPS = ("score", "subset", "sweep", "train", "eval")


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
            for verb in _STEPS
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
    from datascaler.cluster.merge import merged
    from datascaler.cluster.names import check_name, default_name

    steps = {verb: step_of(verb, _words(verb, given[verb] or "")) for verb in _STEPS}
    shared = merged(*map(read_values, given["value_files"]), values_of_flags(given))
    arguments = _own_arguments(given, steps, shared)
    name = check_name(given["name"] or default_name("pipeline", given["scale"], arguments))
    pipeline = _pipeline(name, given)
    if given["dry_run"] == "client":
        around = without_cluster(given)
        for verb in pipeline.verbs:
            _describe(pipeline, verb, steps, shared, given["namespace"] or "default", around)
        print_manifests(_driver(given, name, arguments, shared, given["namespace"] or "default", around), _form(given))
        return
    cluster = connect_as_asked(given)
    around = surroundings(cluster, given)
    # All steps are rendered first, so that a wrong flag of the last one is found now.
    for verb in pipeline.verbs:
        _describe(pipeline, verb, steps, shared, cluster.namespace, around)
    if given["wait"] and given["dry_run"] == "none":
        _drive(cluster, pipeline, steps, shared, around)
        return
    driver = _driver(given, name, arguments, shared, cluster.namespace, around)
    note(f"pipeline  {cluster.namespace}/{name}: {' -> '.join(pipeline.verbs)}")
    if given["dry_run"] == "server":
        from datascaler.cluster.send import check_by_server

        check_by_server(cluster.api, driver)
        print_manifests(driver, _form(given))
        return
    send_and_tell(cluster, driver, given)


def _words(verb: str, text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise click.UsageError(f"--{verb} {text}: {error}") from None


def _drive(
    cluster: "Cluster", pipeline: "Pipeline", steps: dict[str, Step], shared: dict[str, Any], around: "Surroundings"
) -> None:
    """Submit and await each step from here."""
    from datascaler.cluster.carry_out import carry_out

    best: list[str] = []
    for number, verb in enumerate(pipeline.verbs, start=1):
        note(f"--- step {number} of {len(pipeline.verbs)}: {verb}")
        submission = _describe(pipeline, verb, steps, shared, cluster.namespace, around, best)
        try:
            carry_out(cluster.api, cluster.namespace, verb, submission, note)
        except KeyboardInterrupt:
            here = f"{cluster.namespace}/{pipeline.name}"
            note(f"\ndetached; the step goes on, the next ones don't start. The same command goes on: {here}")
            raise click.exceptions.Exit(101) from None
        if verb == "sweep":
            best = _best_point(pipeline, steps)
            note(f"sweep: the best point is {shlex.join(best)}")
    note(f"{cluster.namespace}/{pipeline.name}: complete; results are below {pipeline.runs_dir}")
    click.echo(f"{cluster.namespace}/{pipeline.name}")


def _describe(
    pipeline: "Pipeline",
    verb: str,
    steps: dict[str, Step],
    shared: dict[str, Any],
    namespace: str,
    around: "Surroundings",
    best: Sequence[str] = (),
) -> "Submission":
    """The step as `submit VERB` would describe it."""
    from datascaler.cli.submit_run import make_request, train_spec
    from datascaler.cluster.merge import merged
    from datascaler.cluster.names import PIPELINE
    from datascaler.cluster.request import describe_request

    step = _complete(pipeline, verb, steps, best)
    values = merged(shared, {"labels": {PIPELINE: pipeline.name}})
    given = step.given | {"name": pipeline.step_name(verb), "logs": pipeline.logs_dir}
    given["value_files"] = [json.dumps(values), *step.given["value_files"]]
    parsed = step.parse()
    spec = train_spec(verb, parsed, offline=True)
    return describe_request(make_request(verb, step.arguments, parsed, given, spec), namespace, around)


def _complete(pipeline: "Pipeline", verb: str, steps: dict[str, Step], best: Sequence[str] = ()) -> Step:
    """The step with what the pipeline gives it."""
    from datascaler.cluster.pipeline import overlaid

    own, training = steps[verb], steps["train"]
    if verb == "sweep":
        words = pipeline.arguments(verb, own.arguments, training.arguments)
        return step_of(verb, [*words, *training.cluster_words, *own.cluster_words])
    words = pipeline.arguments(verb, overlaid(own.arguments, best if verb == "train" else ()))
    return step_of(verb, [*words, *own.cluster_words])


def _best_point(pipeline: "Pipeline", steps: dict[str, Step]) -> list[str]:
    from datascaler.cli.submit_run import train_spec
    from datascaler.data.sweep_results import collect
    from datascaler.spec.sweep import grid

    parsed = _complete(pipeline, "sweep", steps).parse()
    base = train_spec("sweep", parsed, offline=True)
    assert base is not None
    points = grid(base, parsed["lrs"] or (), parsed["weight_decays"] or (), parsed["warmups"] or ())
    best = collect(points).best
    return ["--lr", str(best.lr), "--weight-decay", str(best.weight_decay), "--warmup", str(best.warmup_steps)]


def _driver(
    given: dict[str, Any],
    name: str,
    arguments: list[str],
    shared: dict[str, Any],
    namespace: str,
    around: "Surroundings",
) -> "Submission":
    from datascaler.cluster.request import Request, describe_request

    params = {"output_dir": given["output_dir"], "data_dir": given["data_dir"], "logs": given["logs"]}
    request = Request(verb="pipeline", arguments=arguments, params=params, name=name, flags=shared)
    return describe_request(request, namespace, around)


def _own_arguments(given: dict[str, Any], steps: dict[str, Step], shared: dict[str, Any]) -> list[str]:
    """The pipeline's flags once more, with everything inside that comes from files or variables of this machine."""
    words = []
    for flag in ("data-dir", "output-dir", "method", "scale", "eval-data-dir"):
        value = given[flag.replace("-", "_")]
        words += [f"--{flag}", value] if value else []
    words += ["--fraction", str(given["fraction"])]
    for verb in _STEPS:
        words += (
            [f"--{verb}", shlex.join([*steps[verb].arguments, *steps[verb].cluster_words])]
            if given[verb] is not None
            else []
        )
    return [*words, "--values", json.dumps(shared, sort_keys=True)] if shared else words


def _pipeline(name: str, given: dict[str, Any]) -> "Pipeline":
    from datascaler.cluster.pipeline import Pipeline

    return Pipeline(
        name=name,
        data_dir=given["data_dir"],
        output_dir=given["output_dir"],
        method=given["method"].lower(),
        fraction=given["fraction"],
        scale=given["scale"],
        eval_data_dir=given["eval_data_dir"],
        has_sweep=given["sweep"] is not None,
    )


def _form(given: dict[str, Any]) -> str:
    return given["form"] or "yaml"
