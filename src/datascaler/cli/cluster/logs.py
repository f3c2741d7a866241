"""`datascaler logs`."""

import re
from typing import TYPE_CHECKING

import click

from datascaler.cli.cluster.run_argument import find_cluster, where_options
from datascaler.cli.cluster.usage import config_errors_are_usage_errors
from datascaler.cli.cluster.watching import follow_until_end
from datascaler.cli.options import COUNT
from datascaler.cli.output import note
from datascaler.errors import ConfigError, RunNotFoundError

if TYPE_CHECKING:
    from datascaler.cluster.watch.logs import LogQuery

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _seconds(_ctx: click.Context, _param: click.Parameter, value: str | None) -> int | None:
    match = re.fullmatch(r"(\d+)([smhd]?)", value or "0")
    if not match:
        raise click.BadParameter(f"not a time span: {value!r} (write 90s, 10m, 2h or 1d)")
    return int(match[1]) * _UNITS[match[2] or "s"] if value else None


@click.command()
@click.argument("run", metavar="RUN")
@where_options
@click.option("--follow", "-f", is_flag=True, help="Until the run ends, also of pods that come later.")
@click.option("--index", type=COUNT, help="Only this index or worker.")
@click.option("--since", callback=_seconds, help="Only the last 90s, 10m, 2h, 1d.")
@click.option("--tail", type=COUNT, help="Only so many of the last lines of each pod.")
@click.option("--previous", is_flag=True, help="Of the containers before their last restart.")
@click.option("--saved", is_flag=True, help="What pods left in the run's log folder, those that are gone too.")
@config_errors_are_usage_errors()
def logs(
    run: str,
    namespace: str | None,
    context: str | None,
    kubeconfig: str | None,
    follow: bool,
    index: int | None,
    since: int | None,
    tail: int | None,
    previous: bool,
    saved: bool,
) -> None:
    """Print what a run's pods say.

    RUN is a handle, or the URL of a run's log folder. With -f the exit code says how the run ended; Ctrl-C detaches.
    Where no pod is left, what pods saved is shown.

    \b
    datascaler logs team-a/score-clip-1f2e3d4c --follow --index 3
    """
    from datascaler.cluster.watch.saved_logs import print_saved_logs

    is_url = "://" in run
    if saved or is_url:
        asked = {"--follow": follow, "--since": since is not None, "--previous": previous}
        if wrong := [flag for flag, given in asked.items() if given]:
            raise ConfigError(f"{wrong[0]} is for pods that are there; saved logs know --index and --tail only")
    if is_url:
        if not print_saved_logs([run], click.echo, index=index, tail=tail):
            raise RunNotFoundError(f"no logs in {run}" + _with_index(index))
        return
    if follow and previous:
        raise ConfigError("--follow shows what is said now; leave out --previous")

    from datascaler.cluster.kube.record import record_of
    from datascaler.cluster.watch.logs import LogQuery, print_logs
    from datascaler.cluster.watch.status import find_cluster_runs

    cluster, name = find_cluster(run, namespace, context, kubeconfig)
    query = LogQuery(index=index, since_seconds=since, tail=tail, previous=previous)
    if follow:
        follow_until_end(cluster, name, query=query)
    if not saved:
        pods, heard = print_logs(cluster.api, cluster.namespace, name, query, click.echo)
        is_filtered = index is not None or since is not None or previous
        if pods or is_filtered:
            if not heard:
                note(_silence(name, pods, query))
            return
    runs = find_cluster_runs(cluster.api, cluster.namespace, name)
    folders = [folder for each in runs if (folder := record_of(each).get("logs"))]
    if not print_saved_logs(folders, click.echo, index=index, tail=tail):
        note(f"no pod of {name}{_with_index(index)} has left a log")


def _with_index(index: int | None) -> str:
    return "" if index is None else f" with index {index}"


def _silence(name: str, pods: int, query: "LogQuery") -> str:
    if not pods:
        return f"no pod of {name}{_with_index(query.index)} is there; --saved shows what pods left that are gone"
    if query.previous:
        return f"no pod of {name}{_with_index(query.index)} had its container restarted"
    when = "" if query.since_seconds is None else f" in the last {query.since_seconds:,} s"
    return f"no pod of {name}{_with_index(query.index)} has said anything{when or ' yet'}"
