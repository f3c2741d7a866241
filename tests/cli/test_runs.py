"""`datascaler runs`, and `datascaler status` of an output folder."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from datascaler import storage
from datascaler.cli.main import cli
from datascaler.cli.runs import time_left
from datascaler.errors import RunNotFoundError
from tests.data.tables.test_scoring_progress import make_run


def invoke(*words: str) -> Result:
    return CliRunner().invoke(cli, words)


def test_for_people(tmp_path: Path) -> None:
    out = make_run(str(tmp_path), shards=5, done=3)
    result = invoke("runs", out)
    assert result.exit_code == 0, result.output
    header, line = result.stdout.splitlines()
    assert header.split()[:3] == ["score", "id", "state"]
    assert "running" in line
    assert "3 of 5" in line
    assert "image does not decode 3" in line


def test_for_programs(tmp_path: Path) -> None:
    out = make_run(str(tmp_path), shards=5, done=3)
    printed = json.loads(invoke("runs", out, "--json", "--no-counts").stdout)
    assert printed["output_dir"] == out
    (run,) = printed["runs"]
    assert (run["done"], run["missing"], run["rows"]) == (3, 2, 9)


def test_watching_ends_when_all_is_done(tmp_path: Path) -> None:
    out = make_run(str(tmp_path), shards=2, done=2)
    result = invoke("runs", out, "--watch", "--json")
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 1


@pytest.mark.parametrize(("done", "code"), [(0, 101), (1, 101), (2, 0)])
def test_status_of_a_folder_says_by_its_exit_code_whether_all_is_done(tmp_path: Path, done: int, code: int) -> None:
    out = make_run(str(tmp_path), shards=2, done=done)
    assert invoke("status", out).exit_code == code
    assert invoke("status", out, "--json").exit_code == code


def test_status_of_a_url_names_a_damaged_table(s3_url: str) -> None:
    out = make_run(s3_url, shards=2, done=2)
    storage.publish_bytes(f"{out}/scores/clip-x-00000000/0001.parquet", b"no table")
    result = invoke("status", out)
    assert result.exit_code == 101
    assert "0001.parquet is damaged: remove it" in result.stderr


def test_a_folder_without_runs(tmp_path: Path) -> None:
    for verb in ("runs", "status"):
        assert isinstance(invoke(verb, str(tmp_path)).exception, RunNotFoundError)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (41.6, "42s"), (429, "7m 09s"), (18720, "5h 12m"), (273_600, "3d 04h")],
)
def test_time_left(seconds: float, text: str) -> None:
    assert time_left(seconds) == text
