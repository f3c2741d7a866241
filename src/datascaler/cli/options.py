"""Flags that several verbs share, and the number forms that they accept."""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING
from fractions import Fraction
from functools import wraps
from types import NoneType
from typing import Any, Literal, get_args, get_origin

import click

from datascaler.cli.output import note
from datascaler.errors import ConfigError
from datascaler.spec.field import field_named, flag_of, flat_fields
from datascaler.spec.numbers import parse_bool, parse_bytes, parse_count, parse_fraction, parse_indexes
from datascaler.spec.paths import check_file_name, check_path


@contextmanager
def usage_errors_of(spec: type, ctx: click.Context | None = None) -> Iterator[None]:
    """What a spec refuses of the flags that make it is a usage error, and names the flags in place of the fields."""
    try:
        yield
    except ConfigError as error:
        text = str(error)
        for each in sorted(flat_fields(spec), key=lambda each: len(each.name), reverse=True):
            # A name of one word may be a word of the sentence, but where that begins with it.
            place = "" if "_" in each.name else "^"
            text = re.sub(rf"{place}(?<![\w'\"/.-]){each.name}(?![\w'\"/.-])", flag_of(each), text)
        raise click.UsageError(text, ctx or click.get_current_context(silent=True)) from error


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


class _Path(click.ParamType[str]):
    """A folder, file or URL, which is no empty text and no URL with a slash too few."""

    name = "text"

    def __init__(self, *, written: bool) -> None:
        self._written = written

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        name = param.opts[0] if isinstance(param, click.Option) else (param and param.human_readable_name) or "path"
        try:
            check_path(name, value, written=self._written)
        except ConfigError as error:
            raise click.UsageError(str(error), ctx) from None
        return str(value)


class _Name(click.ParamType[str]):
    """The name of a file that is written."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            check_file_name(param.opts[0] if param else "name", value)
        except ConfigError as error:
            raise click.UsageError(str(error), ctx) from None
        return str(value)


INPUT, OUTPUT, NAME = _Path(written=False), _Path(written=True), _Name()
COUNT = _Parsed("integer", parse_count)
"""128_000_000, 128000000 or 128M."""
BYTES = _Parsed("size", parse_bytes)
"""50G, 50Gi or a number of bytes."""
INDEXES = _Parsed("integer,...", parse_indexes)
FRACTION = _Parsed("fraction", _fraction)
"""0.1875 or 3/16, kept exact."""
TRUTH = _Parsed("boolean", parse_bool)
WORDS = _Parsed("text,...", lambda text: tuple(each.strip() for each in text.split(",") if each.strip()))


def list_of(item: click.ParamType[Any]) -> click.ParamType[Any]:
    """`a,b,c`, each of the item's type."""
    return _Parsed(f"{item.name},...", lambda text: [item.convert(each, None, None) for each in text.split(",")])


_TYPES: dict[Any, Any] = {
    int: COUNT,
    float: float,
    Fraction: FRACTION,
    str: str,
    tuple[str, ...]: WORDS,
    tuple[int, ...]: list_of(COUNT),
}


def spec_option(
    spec: type,
    name: str,
    *aliases: str,
    help: str = "",  # noqa: A002
    default: str | None = None,
    **settings: Any,
) -> Callable[[Any], Any]:
    """The flag of a spec's field, of the field's type; it is None where it is not given, so the spec's default holds.

    A truth may stand alone or take a value (`--use-mup`, `--use-mup=false`), but for is_flag=True.
    default: how the help writes it, in place of the field's own; "" is not at all.
    """
    each = field_named(spec, name)
    if default is None and not any(each.default is unsaid for unsaid in (MISSING, None, False)):
        default = ",".join(each.default) if isinstance(each.default, tuple) else str(each.default)
    kind = _bare(each.type)
    if kind is bool and "is_flag" not in settings:
        settings |= {"type": TRUTH, "is_flag": False, "flag_value": "true"}
    elif kind is bool:
        settings["default"] = None  # as of others where they are not given
    elif "type" not in settings:
        settings["type"] = _TYPES.get(kind) or click.Choice(get_args(kind))
    shown = f"{help}  [default: {default}]" if default else help
    return click.option(flag_of(each), *aliases, name, help=shown.strip(), **settings)


def _bare(annotation: Any) -> Any:
    """`int | None` -> int"""
    if get_origin(annotation) in (Literal, tuple):
        return annotation
    kinds = [kind for kind in get_args(annotation) if kind is not NoneType]
    return kinds[0] if kinds else annotation


def spec_options(*options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """All of them, in the order in which the help lists them."""

    def decorated(command: Any) -> Any:
        for option in reversed(options):
            command = option(command)
        return command

    return decorated


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """What the user gave."""
    return {name: value for name, value in options.items() if value is not None and value != ()}


data_dir_option = click.option(
    "--data-dir",
    type=INPUT,
    required=True,
    help="Folder or URL of the pool's tar shards; several as a::b; brace ranges work.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object on stdout.")


def index_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Which part of the work is this worker's: `items[index::count]`."""

    @wraps(command)
    def with_index(*, index: int | None, indexes: list[int] | None, count: int | None, **options: Any) -> Any:
        from datascaler.tools.work_share import work_share

        try:
            share = work_share(os.environ, index, count, indexes)
        except ConfigError as error:
            raise click.UsageError(str(error)) from error
        if share.taken_from:
            note(f"this is worker {share.index} of 0 to {share.count - 1}, by {share.taken_from}")
        if share.left_open:
            note(f"{share.left_open}, and this worker does all of the work: to share it, give --index and --count")
        return command(index=share.index, count=share.count, **options)

    flags = (
        click.option("--count", type=COUNT, help="Workers that share the work.  [default: Slurm's, else 1]"),
        click.option(
            "--index",
            type=COUNT,
            help="Which worker this is, from 0.  [default: $JOB_COMPLETION_INDEX or Slurm's, else 0 of 1]",
        ),
        click.option("--indexes", type=INDEXES, help="Some of the workers again: 3,17,20-22. --index counts in these."),
    )
    decorated: Callable[..., Any] = with_index
    for flag in reversed(flags):
        decorated = flag(decorated)
    return decorated
