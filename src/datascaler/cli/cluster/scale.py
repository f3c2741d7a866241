"""`datascaler scale`."""

from typing import TYPE_CHECKING

import click

from datascaler.cli.cluster.run_argument import of_run
from datascaler.cli.options import COUNT
from datascaler.cli.output import note

if TYPE_CHECKING:
    from datascaler.cluster.kube.connect import Cluster


@click.command()
@of_run
@click.argument("pods", type=COUNT)
def scale(cluster: "Cluster", name: str, pods: int) -> None:
    """Change how many pods work on a run while it goes on.

    Workers of a training run, between the bounds that it was submitted with; or pods at a time of a score or eval run,
    where 0 pauses it.

    \b
    datascaler scale team-a/train-small-1f2e3d4c 8
    """
    from datascaler.cluster.act.scale import scale_run as act

    before, after = act(cluster.api, cluster.namespace, name, pods)
    here = f"{cluster.namespace}/{name}"
    note(f"{here}: {before} -> {after} pods" + ("" if after else f": paused; `datascaler scale {here} N` goes on"))
