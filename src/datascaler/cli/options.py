"""Flags that several verbs share, and the number forms that they accept."""

from collections.abc import Callable
from fractions import Fraction
from functools import wraps
from typing import Any

import click

from datascaler.errors import ConfigError
from datascaler.spec.numbers import parse_bool, parse_bytes, parse_count, parse_fraction, parse_indexes


class _Parsed(click.ParamType[Any]):
    """A click type made of a parse function whose ConfigError becomes a usage error."""

    def __init__(self, name: str, parse: Callable[[Any], Any]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return self._parse(value)
        except ConfigError as error:
            self.fail(str(error), param, ctx)


def _fraction(value: str | Fraction) -> Fraction:
    return value if isinstance(value, Fraction) else parse_fraction(value)


COUNT = _Parsed("integer", parse_count)
"""128_000_000, 128000000 or 128M."""
BYTES = _Parsed("size", parse_bytes)
"""50G, 50Gi or a number of bytes."""
INDEXES = _Parsed("integer,...", parse_indexes)
FRACTION = _Parsed("fraction", _fraction)
"""0.1875 or 3/16, kept exact."""
TRUTH = _Parsed("boolean", parse_bool)


def list_of(item: click.ParamType[Any]) -> click.ParamType[Any]:
    """`a,b,c`, each of the item's type."""
    return _Parsed(f"{item.name},...", lambda text: [item.convert(each, None, None) for each in text.split(",")])


def truth_option(*names: str, default: bool, help: str) -> Callable[[Any], Any]:  # noqa: A002
    """A switch that may stand alone or take a value: `--use-mup`, `--use-mup=false`."""
    return click.option(
        *names, type=TRUTH, is_flag=False, flag_value="true", default=default, show_default=True, help=help
    )


data_dir_option = click.option(
    "--data-dir", required=True, help="Folder or URL of the pool's tar shards; several as a::b; brace ranges work."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object on stdout.")


def index_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Which part of the work is this worker's: `items[index::count]`."""

    @wraps(command)
    def with_index(*, index: int, indexes: list[int] | None, count: int, **options: Any) -> Any:
        return command(index=_chosen(index, indexes, count), count=count, **options)

    flags = (
        click.option("--count", type=COUNT, default=1, show_default=True, help="Workers that share the work."),
        click.option(
            "--index",
            type=COUNT,
            default=0,
            envvar="JOB_COMPLETION_INDEX",
            help="Which worker this is.  [default: $JOB_COMPLETION_INDEX, else 0]",
        ),
        click.option("--indexes", type=INDEXES, help="Some of the workers again: 3,17,20-22. --index counts in these."),
    )
    decorated: Callable[..., Any] = with_index
    for flag in reversed(flags):
        decorated = flag(decorated)
    return decorated


def _chosen(index: int, indexes: list[int] | None, count: int) -> int:
    """The worker that this is: `index` itself, or the one that stands at that place of `indexes`."""
    if indexes is None:
        return index
    beyond = [each for each in indexes if each >= count]
    if beyond:
        raise click.UsageError(f"--indexes has {beyond[0]}, but with --count {count} the last one is {count - 1}")
    if not 0 <= index < len(indexes):
        raise click.UsageError(f"--index counts in --indexes, from 0 to {len(indexes) - 1}, got {index}")
    return indexes[index]
