"""Every command that the README and the guides show is one that exists, with flags that exist."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from datascaler.cli.main import cli
from datascaler.cli.submit.options import Step, SubmitCommand
from datascaler.spec.score import METHODS
from tests.docs.pages import LOG, PAGES, ROOT, Block, blocks, prose
from tests.docs.shell_words import commands_of

SHELL = blocks("bash")
TARGETS = set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
EXTRAS = set(re.findall(r"^(\w+) = \[$", (ROOT / "pyproject.toml").read_text(), re.MULTILINE))
OTHER_PROGRAMS = {"docker", "export", "helm", "kubectl", "uv"}
"""That a reader has from elsewhere."""
OTHER_FLAGS = {
    *("--build-arg", "--kube-version", "--logs", "--native-tls", "--no-operator", "--require-hashes"),
    *("--replicas", "--type", "--patch", "--tables"),
    *("--array", "--dependency", "--gpu-bind", "--gpus-per-task", "--requeue", "--signal"),
}
"""Flags in running text that are other programs'."""


@pytest.fixture
def parse(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`datascaler` up to the point where a verb would begin its work."""

    def stop_here(ctx: click.Context, *_: Any, **__: Any) -> None:
        if isinstance(ctx.command, SubmitCommand):
            Step(ctx.command.verb, ctx, ctx.params).parse()

    monkeypatch.setattr(click.Context, "invoke", stop_here)
    return lambda words: cli.main(words, prog_name="datascaler", standalone_mode=False)


@pytest.mark.parametrize("block", SHELL, ids=str)
def test_commands_of_blocks(block: Block, parse: Any) -> None:
    for words in commands_of(block.text):
        program, *arguments = words
        if program == "bash":
            program, *arguments = arguments
        if program == "datascaler":
            parse(arguments)
        elif program == "make":
            assert set(arguments) <= TARGETS, words
        elif program == "pip":
            assert set(re.findall(r"\[(\w+)\]", " ".join(arguments))) <= EXTRAS, words
        elif program == "sbatch":
            (place,) = [place for place, word in enumerate(arguments) if word.endswith(".sbatch")]
            (verb,) = re.findall(r" datascaler (\w+)", (ROOT / arguments[place]).read_text().splitlines()[-1])
            parse([verb, *arguments[place + 1 :]])
        elif program.startswith("scripts/"):
            script = (ROOT / program).read_text()
            for flag in _flags(arguments):
                assert flag.removeprefix("--") in script, f"{program} does not know {flag}"
        else:
            assert program in OTHER_PROGRAMS, words
        for word in words:
            if re.match(r"(benchmarks|charts|docker|docs|k8s|scripts|src|tests)/", word):
                assert (ROOT / word).exists(), word


def test_commands_stand_in_blocks_that_are_tested() -> None:
    for block in blocks("", "sh", "console", "shell", "text"):
        assert not re.search(r"^(\$ )?(datascaler|make|scripts/|pip) ?", block.text, re.MULTILINE), block
    for page in PAGES:
        assert not re.search(r"^ {4,}(datascaler|make|scripts/)", prose(page), re.MULTILINE), page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_and_flags_in_running_text(page: Path) -> None:
    for code in re.findall(r"`([^`\n]+)`", prose(page)):
        words = code.split()
        if words[0] == "make" and len(words) > 1:
            assert {word for word in words[1:] if word.islower()} <= TARGETS, code
        elif words[0] == "datascaler":
            _check_named(words[1:])
        elif page != LOG and words[0].startswith("--"):
            assert set(_flags(words)) <= EVERY_FLAG | OTHER_FLAGS, code


def _check_named(words: list[str]) -> None:
    """A command that is named, not shown: what stands there exists, though more may be needed."""
    command: click.Command = cli
    while isinstance(command, click.Group) and words and re.fullmatch("[a-z-]+", words[0]) and words[0][0] != "-":
        assert words[0] in command.commands, words
        command, words = command.commands[words[0]], words[1:]
    assert set(_flags(words)) <= EVERY_FLAG, words


def _flags(words: list[str]) -> list[str]:
    return [word.partition("=")[0] for word in words if word.startswith("--")]


def _every_flag(command: click.Command) -> Iterator[str]:
    yield from ("--help", "--version")
    for parameter in command.params:
        yield from (*parameter.opts, *parameter.secondary_opts)
    for inner in command.commands.values() if isinstance(command, click.Group) else ():
        yield from _every_flag(inner)


EVERY_FLAG = set(_every_flag(cli))


def _paths(group: click.Group, path: str = "datascaler") -> Iterator[str]:
    for name, command in group.commands.items():
        yield f"{path} {name}"
        if isinstance(command, click.Group):
            yield from _paths(command, f"{path} {name}")


@pytest.mark.parametrize("path", list(_paths(cli)))
def test_every_command_is_in_a_guide(path: str) -> None:
    assert any(re.search(rf"{path}\b", page.read_text()) for page in PAGES)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_in_the_readme(method: str) -> None:
    assert f"`{method}`" in (ROOT / "README.md").read_text()
