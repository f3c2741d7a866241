"""`datascaler pool`: make, check and index pools; make evaluation sets."""

import click

from datascaler.cli.pool_check import check
from datascaler.cli.pool_index import index
from datascaler.cli.pool_make import make
from datascaler.cli.pool_make_evalset import make_evalset


@click.group()
def pool() -> None:
    """Make, check and index pools; make evaluation sets."""


for command in (make, make_evalset, check, index):
    pool.add_command(command)
