"""A verb with subcommands: alone it asks for its flags; before a subcommand it asks for nothing."""

import click
import pytest
from click.testing import CliRunner, Result

from datascaler.cli.main import cli
from datascaler.cli.verb_group import VerbGroup


@click.group(cls=VerbGroup)
@click.option("--to", required=True)
@click.option("--times", type=int, default=1)
def greet(to: str, times: int) -> None:
    """Greet somebody."""
    click.echo(f"hello {to} " * times)


@greet.command()
@click.argument("names", nargs=-1)
@click.option("--loud", is_flag=True)
def count(names: tuple[str, ...], loud: bool) -> None:
    """Count the greeted."""
    click.echo(f"{len(names)}{'!' * loud}")


def run(*words: str) -> Result:
    return CliRunner().invoke(greet, words)


def test_alone_it_does_its_own_work() -> None:
    assert run("--to", "me", "--times=2").output == "hello me hello me \n"


def test_a_subcommand_runs_without_the_verbs_flags_and_without_the_verbs_work() -> None:
    assert run("count", "a", "b").output == "2\n"
    assert run("count", "--loud", "a").output == "1!\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "Missing option '--to'"),
        (["--times", "2"], "Missing option '--to'"),
        (["--to", "me", "count"], "Got unexpected extra argument (count)"),
        (["coutn"], "No such command 'coutn'"),
        (["--to", "me", "--times", "x"], "'x' is not a valid integer"),
        (["count", "--to", "me"], "No such option '--to'"),
    ],
)
def test_usage_errors(words: list[str], message: str) -> None:
    result = run(*words)
    assert result.exit_code == 2
    assert message in result.stderr


def test_help_shows_flags_and_subcommands() -> None:
    shown = run("--help").output
    assert "[COMMAND ...]" in shown
    assert "--to" in shown
    assert "[required]" in shown
    assert "count  Count the greeted." in shown


def test_subset_asks_for_its_flags_by_name() -> None:
    result = CliRunner().invoke(cli, ["subset", "--method", "clip", "--fraction", "0.3"])
    assert result.exit_code == 2
    assert "Missing option '--output-dir'" in result.stderr


@pytest.mark.parametrize("word", ["show", "convert", "combine", "sample", "materialize"])
def test_subcommands_are_not_submitted(word: str) -> None:
    result = CliRunner().invoke(cli, ["submit", "subset", word, "a.npy"])
    assert result.exit_code == 2
    assert f"subset {word} is no work for pods: run `datascaler subset {word} ...` here" in result.stderr
