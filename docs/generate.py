"""The reference, written anew by every build: the command line, the library's names, and all modules."""

import ast
import inspect
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import click

import datascaler
from datascaler.cli.main import cli

SOURCE = Path(datascaler.__file__).parent
PUBLIC: list[str] = import_module("datascaler").__all__


def write_reference(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for name, lines in (("cli", command_line()), ("library", library()), ("modules", modules())):
        (folder / f"{name}.md").write_text("\n".join(lines) + "\n")


def command_line() -> Iterator[str]:
    """What `--help` prints, of every command."""
    yield from ("# Command line", "")
    yield "Every page of `datascaler --help`. Flags may be written with `_` or `-`."
    for words, help_text in help_pages(cli, click.Context(cli, info_name="datascaler", **cli.context_settings)):
        yield from ("", f"{'#' * min(len(words) + 1, 4)} {' '.join(words)}", "", "```text", help_text, "```")


def help_pages(command: click.Command, context: click.Context) -> Iterator[tuple[list[str], str]]:
    yield context.command_path.split(), command.get_help(context)
    for name, inner in (command.commands if isinstance(command, click.Group) else {}).items():
        yield from help_pages(inner, click.Context(inner, context, name, **inner.context_settings))


def library() -> Iterator[str]:
    """The public names, with their docstrings and types."""
    yield from (
        "# Library",
        "",
        "What `from datascaler import ...` offers. Everything else is private to the project.",
        "",
    )
    for name in PUBLIC:
        value = getattr(datascaler, name)
        if inspect.isclass(value):
            directive = [f".. autoclass:: datascaler.{name}", "   :members:"]
        elif callable(value):
            directive = [f".. autofunction:: datascaler.{name}"]
        else:
            continue  # the version
        yield from (f"## {name}", "", "```{eval-rst}", *directive, "```", "")


def modules() -> Iterator[str]:
    """Every module with its first sentence, by folder."""
    yield from ("# Modules", "", "What is in each file of `src/datascaler`, by its first sentence.")
    for folder in sorted({path.parent for path in SOURCE.rglob("*.py")}):
        relative = folder.relative_to(SOURCE)
        yield from ("", f"## {'datascaler' if folder == SOURCE else relative}", "")
        files = [path for path in sorted(folder.glob("*.py")) if path.name != "__init__.py"]
        yield from (first_sentence(folder / "__init__.py"), "")
        yield from (f"- `{path.name}`: {first_sentence(path)}" for path in files)


def first_sentence(path: Path) -> str:
    text = ast.get_docstring(ast.parse(path.read_text())) or ""
    head = text.split("\n\n")[0].replace("\n", " ")
    return head if head.endswith((".", ":")) else f"{head}."
