"""Wrong flags of the cluster's commands are usage errors (2); in a worker's pod they are a wrong configuration (78)."""

from collections.abc import Iterator
from contextlib import contextmanager

import click

from datascaler.errors import ConfigError


@contextmanager
def config_errors_are_usage_errors() -> Iterator[None]:
    try:
        yield
    except ConfigError as error:
        raise click.UsageError(str(error), click.get_current_context(silent=True)) from error
