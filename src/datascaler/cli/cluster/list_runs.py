"""`datascaler list`."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from datascaler.cli.cluster.run_argument import in_cluster
from datascaler.cli.options import json_option
from datascaler.cli.output import note, print_result, print_table

if TYPE_CHECKING:
    from datascaler.cluster.kube.connect import Cluster


@click.command(name="list")
@click.option("--verb", help="Only runs of this verb.")
@in_cluster
@json_option
def list_command(cluster: "Cluster", verb: str | None, as_json: bool) -> None:
    """List the runs of a namespace, newest last.

    The state is what each run's own object says; `datascaler status RUN` also looks at its pods.

    \b
    datascaler list --namespace team-a --verb train
    """
    from datascaler.cluster.watch import status as look
    from datascaler.cluster.watch.state import run_state

    states = [run_state(run) for run in look.list_runs(cluster.api, cluster.namespace)]
    if not states:
        look.require_namespace(cluster.api, cluster.namespace)
    states = [state for state in states if verb in (None, state.verb)]
    if as_json:
        print_result({"runs": [asdict(state) for state in states]}, as_json=True)
    elif states:
        columns = ("name", "verb", "state", "succeeded", "failed", "wanted", "created")
        print_table([{column: getattr(state, column) for column in columns} for state in states])
    else:
        note(f"no runs in namespace {cluster.namespace}")
