"""`datascaler describe`."""

import json
import shlex
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from datascaler.cli.cluster.run_argument import of_run
from datascaler.cli.options import json_option
from datascaler.cli.output import print_result, print_table

if TYPE_CHECKING:
    from datascaler.cluster.kube.connect import Cluster


@click.command()
@of_run
@json_option
def describe(cluster: "Cluster", name: str, as_json: bool) -> None:
    """Show all that is known of a run: its command and values, its pods, the latest events.

    \b
    datascaler describe team-a/score-clip-1f2e3d4c
    """
    from datascaler.cluster.watch.describe import describe_run as find

    found = find(cluster.api, cluster.namespace, name)
    if as_json:
        click.echo(json.dumps([each | {"state": asdict(each["state"])} for each in found]))
        return
    for each in found:
        values = dict(each["values"])
        print_result({key: value for key, value in asdict(each["state"]).items() if value != ""}, as_json=False)
        click.echo(f"command\n  {shlex.join(values.pop('command', []))}")
        click.echo("values")
        for key, value in values.items():
            click.echo(f"  {key}: {json.dumps(value)}")
        for title in ("pods", "events"):
            click.echo(title)
            if each[title]:
                print_table(each[title])
            else:
                click.echo("  none")
        click.echo()
