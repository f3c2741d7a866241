"""What `datascaler submit VERB` does: describe the run, show what is coming, send it, say what to do next."""

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from datascaler.cli.output import note
from datascaler.cli.submit.cluster_options import read_values, values_of_flags
from datascaler.errors import DatascalerError, StorageError

if TYPE_CHECKING:
    from datascaler.cli.submit.options import Step
    from datascaler.cluster.kube.api import Api
    from datascaler.cluster.kube.connect import Cluster
    from datascaler.cluster.kube.surroundings import Surroundings
    from datascaler.cluster.submit.create import Sent
    from datascaler.cluster.submit.request import Request, Spec
    from datascaler.cluster.submit.submission import Submission


def submit_run(step: "Step") -> None:
    from datascaler.cluster.submit.request import describe_request

    given = step.given
    offline = given["dry_run"] == "client"
    request = make_request(step, read_spec(step, offline=offline))
    if offline:
        around = without_cluster(given)
        submission = describe_request(request, given["namespace"] or "default", around)
        show_submission(submission, request.spec)
        print_manifests(submission, given["form"] or "yaml")
        return
    cluster = connect_as_asked(given)
    submission = describe_request(request, cluster.namespace, surroundings(cluster, given))
    show_submission(submission, request.spec)
    if given["dry_run"] == "server":
        from datascaler.cluster.submit.create import rehearse

        rehearse(cluster.api, submission)
        print_manifests(submission, given["form"] or "yaml")
        return
    send_and_tell(cluster, submission, given, partial(send_score, request.spec) if step.verb == "score" else None)


def make_request(step: "Step", spec: "Spec") -> "Request":
    from datascaler.cluster.submit.request import Request, name_of

    given = step.given
    return Request(
        verb=step.verb,
        spec=spec,
        words=step.words,
        name=given["name"] or name_of(step.verb, spec, step.arguments),
        logs=given["logs"],
        flags=values_of_flags(dict(given)),
        files=[read_values(text) for text in given["value_files"]],
    )


def read_spec(step: "Step", *, offline: bool) -> "Spec":
    """What the step's flags describe; flags that can't be are refused here, before any pod.

    offline: nothing is read for it. So it is too where the subset's recipe can't be read from here: the pods see it.
    """
    try:
        return step.spec(offline=offline)
    except StorageError as error:
        note(f"could not read the subset's recipe from here: {error}")
        return step.spec(offline=True)


def without_cluster(given: Mapping[str, Any]) -> "Surroundings":
    from datascaler.cluster.kube.surroundings import Surroundings

    defaults = read_values(given["defaults"], "--defaults") if given["defaults"] else {}
    unknown = "whether it has the training operator is" if given["defaults"] else "its defaults and operator are"
    note(f"dry run: no cluster was asked, so {unknown} not known (--defaults FILE gives the defaults)")
    return Surroundings(defaults, has_defaults=bool(defaults), kubernetes=None, has_operator=True)


def connect_as_asked(given: Mapping[str, Any]) -> "Cluster":
    from datascaler.cluster.kube.connect import connect

    return connect(given["namespace"], given["context"], given["kubeconfig"])


def surroundings(cluster: "Cluster", given: Mapping[str, Any]) -> "Surroundings":
    from dataclasses import replace

    from datascaler.cluster.kube.defaults import look_around

    around = look_around(cluster.api, cluster.namespace)
    if given["defaults"]:
        return replace(around, defaults=read_values(given["defaults"], "--defaults"))
    if not around.has_defaults:
        note(f"namespace {cluster.namespace} has no datascaler-defaults; the chart's own are used")
    return around


def show_submission(submission: "Submission", spec: "Spec") -> None:
    from datascaler.cluster.submit.estimate import outlook

    for line in outlook(submission, spec):
        note(line)


def print_manifests(submission: "Submission", form: str) -> None:
    if form == "values":
        import yaml

        click.echo(yaml.safe_dump(submission.values, sort_keys=False), nl=False)
    elif form == "json":
        items = {"apiVersion": "v1", "kind": "List", "items": submission.objects}
        click.echo(json.dumps(items, indent=2))
    else:
        click.echo(submission.text, nl=False)


def send_and_tell(
    cluster: "Cluster",
    submission: "Submission",
    given: Mapping[str, Any],
    how: "Callable[[Api, Submission, Callable[[str], None]], Sent] | None" = None,
) -> None:
    """stdout: the handle, or the manifests, or JSON. how: in place of `send`."""
    from datascaler.cluster.kube.names import handle
    from datascaler.cluster.submit.create import send
    from datascaler.cluster.watch.state import run_state

    sent = (how or send)(cluster.api, submission, note)
    here = handle(cluster.namespace, submission.name)
    for run in sent.present[:5]:
        note(f"{run['metadata']['name']} is there already with the same spec: {run_state(run).state}")
    if sent.unqueued:
        note(
            f"warning: no Kueue holds {sent.unqueued[0]} in its queue, so it starts at once; is Kueue there, is the "
            "LocalQueue in this namespace, and is its kubeflow.org/pytorchjob integration on?"
        )
    if given["form"]:
        print_manifests(submission, given["form"])
    elif given["as_json"]:
        present = [run["metadata"]["name"] for run in sent.present]
        click.echo(json.dumps({"handle": here, "created": sent.created, "present": present}))
    else:
        click.echo(here)
    if given["wait"] or given["follow"]:
        from datascaler.cli.cluster.watching import follow_until_end, wait_until_end

        watch = follow_until_end if given["follow"] else wait_until_end
        watch(cluster, submission.name, given["timeout"])
        return
    note(f"next:  datascaler status {here}   datascaler logs -f {here}   datascaler cancel {here}")


def send_score(spec: "Spec", api: "Api", submission: "Submission", say: "Callable[[str], None]") -> "Sent":
    """`send`; what is refused leaves no list of shards behind, which would tie the output folder to this pool."""
    from datascaler.cluster.submit.create import send

    return send(api, submission, say, ready=lambda: _freeze_shards(spec))


def _freeze_shards(spec: "Spec") -> None:
    """The list of shards is made once; from here if the pool can be seen from here, else by the first pod."""
    from datascaler.cluster.submit.estimate import pool_line
    from datascaler.data.pool.shard_list import frozen_shards
    from datascaler.data.pool.shards import find_shards
    from datascaler.data.tables.datacomp_metadata import find_metadata
    from datascaler.spec.score import ScorePart

    assert isinstance(spec, ScorePart)
    pool, find = (spec.from_metadata, find_metadata) if spec.from_metadata else (spec.data_dir, find_shards)
    if not pool:
        return  # stored embeddings are of a pool whose list was made when they were
    try:
        shards = frozen_shards(spec.output_dir, pool, find)
    except DatascalerError as error:
        note(f"the pool can't be seen from here, so the pods will list it: {error}")
        return
    note(pool_line(len(shards), sum(shard.size for shard in shards) / 1e9))
