"""The `datascaler` command: the group of verbs, and the one place where errors become a line and an exit code."""

import os
import sys

import click

from datascaler import __version__
from datascaler.cli.cluster.cancel import cancel
from datascaler.cli.cluster.describe import describe
from datascaler.cli.cluster.doctor import doctor
from datascaler.cli.cluster.list_runs import list_command
from datascaler.cli.cluster.logs import logs
from datascaler.cli.cluster.retry import retry
from datascaler.cli.cluster.scale import scale
from datascaler.cli.cluster.status import status
from datascaler.cli.cluster.wait import wait
from datascaler.cli.demo import demo
from datascaler.cli.evaluate import evaluate
from datascaler.cli.pool.pool import pool
from datascaler.cli.runs import runs
from datascaler.cli.score.score import score
from datascaler.cli.submit.submit import submit
from datascaler.cli.subset.subset import subset
from datascaler.cli.sweep import sweep
from datascaler.cli.train import train
from datascaler.errors import DatascalerError, StoppedError


class Verbs(click.Group):
    """Lists its commands in the order in which a user meets them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(self.commands)


_SETTINGS = {
    "help_option_names": ["-h", "--help"],
    "max_content_width": 100,
    # `--use_mup` is `--use-mup`: the first version's own notes had both.
    "token_normalize_func": lambda token: token.replace("_", "-"),
}


@click.group(cls=Verbs, context_settings=_SETTINGS)
@click.version_option(__version__, message="datascaler %(version)s")
def cli() -> None:
    """Choose the part of an image-text pool to train CLIP on, and find out how it will do at full size."""


_LOCAL = (pool, score, subset, train, sweep, evaluate, runs, demo)
_IN_THE_CLUSTER = (submit, status, list_command, logs, wait, cancel, retry, scale, describe, doctor)
for command in (*_LOCAL, *_IN_THE_CLUSTER):
    cli.add_command(command)


def main() -> None:
    try:
        # torchrun's processes print through the one that started them.
        if os.environ.get("DATASCALER_LOG_DIR") and "LOCAL_RANK" not in os.environ:
            from datascaler.storage.log_copy import run_with_log_copy

            sys.exit(run_with_log_copy(sys.argv[1:]))
        cli(prog_name="datascaler")
    except (DatascalerError, StoppedError) as error:
        click.echo(f"datascaler: error: {error}", err=True)
        sys.exit(error.exit_code)
