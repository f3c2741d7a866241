"""`datascaler retry`."""

from typing import TYPE_CHECKING

import click

from datascaler.cli.cluster.run_argument import of_run
from datascaler.cli.output import note

if TYPE_CHECKING:
    from datascaler.cluster.kube.connect import Cluster


@click.command()
@of_run
def retry(cluster: "Cluster", name: str) -> None:
    """Run again what failed, and only that.

    A shared run gets a new one with just the indexes that are not complete; any other is made anew under its name and
    goes on from what it has finished. Prints the handles.

    \b
    datascaler retry team-a/score-clip-1f2e3d4c
    """
    from datascaler.cluster.act.retry import retry_run as act

    for each in act(cluster.api, cluster.namespace, name, note):
        click.echo(f"{cluster.namespace}/{each}")
