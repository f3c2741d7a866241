"""`datascaler status`."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from datascaler.cli.cluster.run_argument import find_cluster, where_options
from datascaler.cli.cluster.usage import config_errors_are_usage_errors
from datascaler.cli.options import json_option
from datascaler.cli.output import print_result, print_table
from datascaler.cli.runs import show_runs

if TYPE_CHECKING:
    from datascaler.cluster.kube.connect import Cluster

_SHOWN = 50


@click.command()
@click.argument("run", metavar="RUN")
@where_options
@json_option
def status(run: str, namespace: str | None, context: str | None, kubeconfig: str | None, as_json: bool) -> None:
    """Show how a run is doing, and why it waits or failed.

    RUN is a handle, or the output folder of scoring runs as a URL or /path: then files tell, and no cluster is asked.

    Exit codes: 0 succeeded, 100 failed, 101 not finished, 102 not found, 103 cancelled, 104 partly failed.

    \b
    datascaler status team-a/score-clip-1f2e3d4c
    datascaler status s3://out
    """
    if "://" in run or run.startswith(("/", "./", "../")):
        _status_of_files(run, as_json=as_json)
        return
    with config_errors_are_usage_errors():
        cluster, name = find_cluster(run, namespace, context, kubeconfig)
        _status_in_cluster(cluster, name, as_json=as_json)


def _status_of_files(output_dir: str, *, as_json: bool) -> None:
    from datascaler.data.tables.scoring_progress import find_score_runs

    found = find_score_runs(output_dir)
    show_runs(output_dir, found, as_json=as_json)
    is_done = bool(found) and all(each.missing == 0 and not each.unreadable for each in found)
    raise click.exceptions.Exit(0 if is_done else 101)


def _status_in_cluster(cluster: "Cluster", name: str, *, as_json: bool) -> None:
    from datascaler.cluster.watch.status import find_cluster_runs, look
    from datascaler.cluster.watch.wait import exit_code, summary_line

    states = look(cluster.api, find_cluster_runs(cluster.api, cluster.namespace, name))
    if as_json:
        print_result({"state": summary_line(states), "runs": [asdict(state) for state in states]}, as_json=True)
    elif len(states) == 1:
        state = states[0]
        hidden = ("name", "namespace", "group", "kind", "logs")
        shown = {field: value for field, value in asdict(state).items() if field not in hidden and value != ""}
        print_result({"run": f"{state.namespace}/{state.name}", **shown}, as_json=False)
    else:
        rows = [state for state in states if state.reason] + [state for state in states if not state.reason]
        columns = ("name", "verb", "state", "succeeded", "wanted", "reason")
        print_table([{column: getattr(state, column) for column in columns} for state in rows[:_SHOWN]])
        click.echo(f"{len(states):,} runs: {summary_line(states)}")
    raise click.exceptions.Exit(exit_code(states))
