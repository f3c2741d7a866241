"""`datascaler submit`: the verbs, in pods."""

from typing import Any

import click

from datascaler.cli.cluster.usage import config_errors_are_usage_errors
from datascaler.cli.submit.forecast import submit_forecast
from datascaler.cli.submit.options import VERBS, SubmitCommand
from datascaler.cli.submit.pipeline import submit_pipeline


class _Submit(click.Group):
    def invoke(self, ctx: click.Context) -> Any:
        with config_errors_are_usage_errors():
            return super().invoke(ctx)


@click.group(cls=_Submit)
def submit() -> None:
    """Run a verb in a Kubernetes cluster.

    Flags of the verb stay as they are and go into the pods' command word for word; the others say where and how it
    runs. Prints the run's handle. Submitting the same again changes nothing.

    \b
    datascaler submit score --data-dir s3://pool --output-dir s3://out --method clip --count 16 --gpus 1
    datascaler submit train --data-dir s3://pool --output-dir s3://runs --scale small --workers 4 --gpus 8
    """


for _verb in VERBS:
    submit.add_command(SubmitCommand(_verb))
submit.add_command(submit_pipeline)
submit.add_command(submit_forecast)
