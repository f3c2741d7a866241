"""`--indexes`: the parts that a Job is to do again, and which of them is this worker's."""

import click
import pytest
from click.testing import CliRunner, Result

from datascaler.cli.options import INDEXES, index_options


@click.command()
@index_options
def part(index: int, count: int) -> None:
    click.echo(f"{index} of {count}")


def run(*arguments: str, place: int | None = None) -> Result:
    environment = {} if place is None else {"JOB_COMPLETION_INDEX": str(place)}
    return CliRunner().invoke(part, arguments, env=environment)


def test_without_indexes_the_index_is_the_part() -> None:
    assert run().stdout == "0 of 1\n"
    assert run("--count=30", place=7).stdout == "7 of 30\n"


def test_the_jobs_index_counts_in_the_list() -> None:
    done = [run("--count=30", "--indexes=3,17,20-22", place=place).stdout for place in range(5)]
    assert done == [f"{index} of 30\n" for index in (3, 17, 20, 21, 22)]
    assert run("--count=30", "--indexes=29", "--index=0").stdout == "29 of 30\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--count=30", "--indexes=3,30"], "--indexes has 30, but with --count 30 the last one is 29"),
        (
            ["--count=30", "--indexes=3,17", "--index=2"],
            "--index is 2, but the length of --indexes is 2: indexes go from 0 to 1",
        ),
        (["--count=30", "--indexes=3,1-4"], "3 stands twice in '3,1-4'"),
        (["--count=30", "--indexes=4-1"], "the range 4-1 in '4-1' runs backwards"),
        (["--count=30", "--indexes="], "not a list of indexes: ''"),
        (["--count=30", "--indexes=1,,2"], "not a list of indexes: '1,,2'"),
        (["--count=30", "--indexes=-1"], "not a list of indexes: '-1'"),
    ],
)
def test_lists_that_make_no_sense_are_usage_errors(arguments: list[str], message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_whole_numbers_in_order() -> None:
    assert INDEXES.convert("20-22, 3", None, None) == [20, 21, 22, 3]
