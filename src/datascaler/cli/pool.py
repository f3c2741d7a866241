"""`datascaler pool`: make and check pools and evaluation sets."""

import click

from datascaler.cli.pool_check import check
from datascaler.cli.pool_make import make
from datascaler.cli.pool_make_evalset import make_evalset


@click.group()
def pool() -> None:
    """Make and check pools and evaluation sets."""


for command in (make, make_evalset, check):
    pool.add_command(command)
