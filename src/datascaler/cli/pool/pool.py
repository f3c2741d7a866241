"""`datascaler pool`: make pools and evaluation sets; check and index pools."""

import click

from datascaler.cli.pool.check import check
from datascaler.cli.pool.index import index
from datascaler.cli.pool.make import make
from datascaler.cli.pool.make_evalset import make_evalset


@click.group()
def pool() -> None:
    """Make pools and evaluation sets; check and index pools."""


for command in (make, make_evalset, check, index):
    pool.add_command(command)
