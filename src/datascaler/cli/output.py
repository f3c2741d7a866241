"""What goes where: results to stdout, everything else to stderr."""

import json
import os
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import click

from datascaler.errors import DatascalerError
from datascaler.safe_text import printable, printable_lines, redacted, without_secrets

_Result = TypeVar("_Result")


def show_finished(work: Callable[[], _Result], show: Callable[[_Result], None]) -> _Result:
    """Show the result of the work. Where some items failed, that of the others is shown before the error is raised."""
    try:
        result = work()
    except DatascalerError as error:
        if error.finished is not None:
            show(error.finished)
        raise
    show(result)
    return result


def print_result(result: Mapping[str, Any], *, as_json: bool) -> None:
    """The result of a verb: one JSON object, or one `name  value` line a field."""
    if as_json:
        click.echo(json.dumps(without_secrets(result), allow_nan=False))
        return
    width = max((len(name) for name in result), default=0)
    for name, value in result.items():
        click.echo(f"{name.replace('_', ' '):<{width}}  {_plain(value)}")


def print_table(rows: Sequence[Mapping[str, Any]], best: int | None = None) -> None:
    """Rows under the names of their fields; the best one is marked."""
    names = list(rows[0])
    cells = [[name.replace("_", " ") for name in names]] + [[_plain(row[name]) for name in names] for row in rows]
    widths = [max(len(line[column]) for line in cells) for column in range(len(names))]
    for number, line in enumerate(cells, start=-1):
        mark = "* " if best is not None and number == best else "  "
        click.echo((mark + "  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True))).rstrip())


def begin_work(spec: Any, output_dir: str | None = None) -> None:
    """What comes first, where a verb needs torch: is it installed, is there what is to be read? Only then it is loaded,
    which takes seconds, and so it is said.
    """
    # One of torchrun's processes: the one that started them has done it.
    if "LOCAL_RANK" in os.environ:
        return
    from datascaler.extras import require_worker
    from datascaler.tools.usable_cores import limit_threads

    limit_threads()
    require_worker()
    if spec is not None:
        from datascaler.data.tables.inputs import require_inputs

        require_inputs(spec)
    if output_dir is not None:
        from datascaler import storage

        storage.check_writable(output_dir)
    if "torch" not in sys.modules:
        note("loading torch")


def suggest(command: Sequence[str], *, as_json: bool) -> None:
    """The command that usually comes next; what only the user knows stands in capitals. A program is told nothing."""
    if not as_json:
        note(f"next:  {shlex.join(['datascaler', *command])}")


def note(text: str) -> None:
    click.echo(printable_lines(redacted(text)), err=True)


def _plain(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "-"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{_plain(str(key))} {_plain(item)}" for key, item in value.items()) or "none"
    if isinstance(value, Iterable) and not isinstance(value, str):
        return ", ".join(_plain(item) for item in value) or "none"
    return printable(redacted(str(value)))
