"""The argument of the commands that look at a run: its handle, and the cluster that it is in."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from datascaler.cli.usage import config_errors_are_usage_errors

_WHERE = (
    click.option("--namespace", "-n", help="[default: the context's]"),
    click.option("--context", help="Of the kubeconfig."),
    click.option("--kubeconfig", help="[default: $KUBECONFIG, else ~/.kube/config]"),
)


def in_cluster(command: Callable[..., Any]) -> Callable[..., Any]:
    """Connects, and passes `cluster`."""

    @wraps(command)
    def connected(*, namespace: str | None, context: str | None, kubeconfig: str | None, **options: Any) -> Any:
        from datascaler.cluster.connect import connect

        return command(cluster=connect(namespace, context, kubeconfig), **options)

    return _with(_WHERE, connected)


def of_run(command: Callable[..., Any]) -> Callable[..., Any]:
    """Takes a handle, connects to its namespace, and passes `cluster` and `name`."""

    @wraps(command)
    def found(*, run: str, namespace: str | None, context: str | None, kubeconfig: str | None, **options: Any) -> Any:
        from datascaler.cluster.connect import connect
        from datascaler.cluster.names import split_handle

        with config_errors_are_usage_errors():
            own, name = split_handle(run)
            return command(cluster=connect(own or namespace, context, kubeconfig), name=name, **options)

    return _with((click.argument("run", metavar="RUN"), *_WHERE), found)


def _with(options: tuple[Callable[..., Any], ...], command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(options):
        command = option(command)
    return command
