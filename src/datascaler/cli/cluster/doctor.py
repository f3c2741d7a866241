"""`datascaler doctor`."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from datascaler.cli.cluster.run_argument import in_cluster
from datascaler.cli.options import json_option

if TYPE_CHECKING:
    from datascaler.cluster.kube.connect import Cluster


@click.command()
@in_cluster
@click.option("--data-dir", help="Also look at this pool.")
@click.option("--output-dir", help="Also write and remove a probe in this folder.")
@json_option
def doctor(cluster: "Cluster", data_dir: str | None, output_dir: str | None, as_json: bool) -> None:
    """Check what runs need: the API server, your rights, the operator, helm, the defaults, storage.

    Exits with 1 if something is missing that submit can't do without.

    \b
    datascaler doctor --namespace team-a --data-dir s3://pool --output-dir s3://out
    """
    from datascaler.cluster.watch.doctor import examine

    findings = []
    for finding in examine(cluster.api, cluster.namespace, data_dir, output_dir):
        findings.append(finding)
        if not as_json:
            mark = "ok  " if finding.ok else ("FAIL" if finding.is_fatal else "note")
            click.echo(f"{mark}  {finding.check:<17} {finding.said}")
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings]))
    if any(finding.is_fatal and not finding.ok for finding in findings):
        raise click.exceptions.Exit(1)
