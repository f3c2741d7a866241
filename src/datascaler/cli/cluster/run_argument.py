"""What the commands of the cluster take: which cluster is meant, and which run in it."""

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from datascaler.cli.cluster.usage import config_errors_are_usage_errors

if TYPE_CHECKING:
    from datascaler.cluster.kube.connect import Cluster

WHERE = (
    click.option("--namespace", "-n", help="[default: the context's]"),
    click.option("--context", help="Of the kubeconfig."),
    click.option("--kubeconfig", help="[default: $KUBECONFIG, else ~/.kube/config]"),
)


def in_cluster(command: Callable[..., Any]) -> Callable[..., Any]:
    """Connects, and passes `cluster`."""

    @wraps(command)
    def connected(*, namespace: str | None, context: str | None, kubeconfig: str | None, **options: Any) -> Any:
        from datascaler.cluster.kube.connect import connect

        with config_errors_are_usage_errors():
            cluster = connect(namespace, context, kubeconfig)
        return command(cluster=cluster, **options)

    return _with(WHERE, connected)


def of_run(command: Callable[..., Any]) -> Callable[..., Any]:
    """Takes a handle, connects to its namespace, and passes `cluster` and `name`."""

    @wraps(command)
    def found(*, run: str, namespace: str | None, context: str | None, kubeconfig: str | None, **options: Any) -> Any:
        with config_errors_are_usage_errors():
            cluster, name = find_cluster(run, namespace, context, kubeconfig)
            return command(cluster=cluster, name=name, **options)

    return _with((click.argument("run", metavar="RUN"), *WHERE), found)


def where_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The flags alone, for a command that may not need a cluster."""
    return _with(WHERE, command)


def find_cluster(run: str, namespace: str | None, context: str | None, kubeconfig: str | None) -> tuple["Cluster", str]:
    """The cluster, at the handle's namespace if it names one, and the run's name. Raises ConfigError, ClusterError."""
    from datascaler.cluster.kube.connect import connect
    from datascaler.cluster.kube.names import split_handle

    own, name = split_handle(run)
    return connect(own or namespace, context, kubeconfig), name


def _with(options: tuple[Callable[..., Any], ...], command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(options):
        command = option(command)
    return command
