"""`datascaler wait`."""

from typing import TYPE_CHECKING

import click

from datascaler.cli.cluster.run_argument import of_run
from datascaler.cli.cluster.watching import wait_until_end

if TYPE_CHECKING:
    from datascaler.cluster.kube.connect import Cluster


@click.command()
@of_run
@click.option("--timeout", type=float, help="Seconds to wait at most.")
def wait(cluster: "Cluster", name: str, timeout: float | None) -> None:
    """Wait until a run has ended; the exit code says how.

    0 succeeded, 100 failed, 101 the time is over, 102 not found, 103 cancelled, 104 partly failed. Ctrl-C detaches.

    \b
    datascaler wait team-a/score-clip-1f2e3d4c --timeout 3600
    """
    wait_until_end(cluster, name, timeout)
