"""`datascaler cancel`."""

from typing import TYPE_CHECKING

import click

from datascaler.cli.cluster.run_argument import of_run
from datascaler.cli.output import note

if TYPE_CHECKING:
    from datascaler.cluster.kube.connect import Cluster


@click.command()
@of_run
@click.option("--timeout", type=float, default=600, show_default=True, help="Seconds to wait for its pods to end.")
def cancel(cluster: "Cluster", name: str, timeout: float) -> None:
    """End a run, every run of a sweep, or a pipeline with its steps, and leave nothing in the cluster.

    What is in storage stays: submitted again, it goes on from there.

    \b
    datascaler cancel team-a/score-clip-1f2e3d4c
    """
    from datascaler.cluster.act.cancel import cancel_run as act

    for each in act(cluster.api, cluster.namespace, name, timeout=timeout, say=note):
        click.echo(f"{cluster.namespace}/{each}")
