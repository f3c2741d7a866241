"""Flags that several verbs share, and the number forms that they accept."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import click

from datascaler.errors import ConfigError
from datascaler.spec.numbers import parse_bool, parse_count, parse_fraction


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
    count = click.option("--count", type=COUNT, default=1, show_default=True, help="Workers that share the work.")
    index = click.option(
        "--index",
        type=COUNT,
        default=0,
        envvar="JOB_COMPLETION_INDEX",
        help="Which worker this is.  [default: $JOB_COMPLETION_INDEX, else 0]",
    )
    return count(index(command))
