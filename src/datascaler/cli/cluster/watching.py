"""Staying with a run: until it ends, with or without its output. Ctrl-C only detaches."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import click

from datascaler.cli.output import note
from datascaler.stop import ctrl_c_interrupts

if TYPE_CHECKING:
    from datascaler.cluster.kube.connect import Cluster
    from datascaler.cluster.watch.logs import LogQuery
    from datascaler.cluster.watch.state import RunState


def wait_until_end(cluster: "Cluster", name: str, timeout: float | None = None) -> None:
    """Ends the process with the exit code of the run's state."""
    from datascaler.cluster.watch.wait import wait_for

    _stay(cluster, name, lambda: wait_for(cluster.api, cluster.namespace, name, timeout=timeout, say=note), timeout)


def follow_until_end(
    cluster: "Cluster", name: str, timeout: float | None = None, query: "LogQuery | None" = None
) -> None:
    """The same, with the pods' output on stdout."""
    from datascaler.cluster.watch.follow_logs import follow_logs
    from datascaler.cluster.watch.logs import LogQuery

    asked = query or LogQuery()
    _stay(
        cluster,
        name,
        lambda: follow_logs(cluster.api, cluster.namespace, name, asked, click.echo, timeout=timeout),
        timeout,
    )


def _stay(cluster: "Cluster", name: str, act: Callable[[], Sequence["RunState"]], timeout: float | None) -> None:
    from datascaler.cluster.watch.wait import exit_code, summary_line

    here = f"{cluster.namespace}/{name}"
    try:
        with ctrl_c_interrupts():
            states = act()
    except KeyboardInterrupt:
        note(f"\ndetached; {here} goes on. Again: datascaler wait {here}   End it: datascaler cancel {here}")
        raise click.exceptions.Exit(101) from None
    code = exit_code(states)
    if code == 101 and timeout is not None:
        note(f"{here} has not ended after {timeout:g} s: {summary_line(states)}")
    else:
        note(f"{here}: {summary_line(states)}")
    raise click.exceptions.Exit(code)
