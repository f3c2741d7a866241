"""`datascaler submit` in this process, against the recorded API server, and what it has created there."""

import json
from typing import Any

from click.testing import CliRunner, Result

from datascaler.cli.main import cli
from datascaler.cluster.kube.api_paths import path_of
from datascaler.cluster.kube.names import VALUES
from datascaler.errors import DatascalerError
from tests.cli.submitting import SMALLEST
from tests.cluster.replay import Replay

JOBS = path_of("Job", "ml")


def submit(verb: str, *words: str) -> Result:
    result = CliRunner().invoke(cli, ["submit", verb, *SMALLEST[verb], *words])
    if isinstance(result.exception, DatascalerError):
        result.exit_code = result.exception.exit_code
    elif result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def jobs(server: Replay) -> dict[str, dict[str, Any]]:
    return {job["metadata"]["name"]: job for job in server.objects.get(JOBS, [])}


def record(job: dict[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(job["metadata"]["annotations"][VALUES])
    return values
