"""`datascaler pool`: make and check pools and evaluation sets."""

import click


@click.group()
def pool() -> None:
    """Make and check pools and evaluation sets."""
