"""`datascaler pool`: what the commands print, and the code that they exit with."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from datascaler import storage
from datascaler.cli.main import cli
from datascaler.errors import BadInputError, ConfigError
from tests.data.tars import picture


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(cli, ["pool", *arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit | BadInputError | ConfigError):
        raise result.exception
    return result


def run_json(*arguments: str) -> dict[str, Any]:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    value: dict[str, Any] = json.loads(result.stdout)
    return value


@pytest.fixture
def pictures(tmp_path: Path) -> tuple[str, str]:
    """A folder of six images in two classes, and their captions under other column names."""
    lines = ["path,text"]
    for number in range(6):
        name = f"{'hot_dog' if number % 2 else 'apple'}/{number}.png"
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "images" / name).write_bytes(picture(number))
        lines.append(f"{name},caption {number}")
    (tmp_path / "captions.csv").write_text("\n".join(lines))
    return str(tmp_path / "images"), str(tmp_path / "captions.csv")


def make_arguments(pictures: tuple[str, str], target: str) -> list[str]:
    images, captions = pictures
    columns = ["--file-column", "path", "--caption-column", "text"]
    return ["make", "--images-dir", images, "--captions", captions, *columns, "--output-dir", target]


def test_make_and_check_on_s3(pictures: tuple[str, str], s3_url: str) -> None:
    arguments = [*make_arguments(pictures, f"{s3_url}/pool"), "--samples-per-shard", "4"]
    made = run_json(*arguments)
    assert made == {
        "output_dir": f"{s3_url}/pool",
        "shards": 2,
        "shards_skipped": 0,
        "rows": 6,
        "samples": 6,
        "failed_to_download": 0,
        "failed_to_resize": 0,
        "failures": {},
        "failure_examples": {},
        "metadata": f"{s3_url}/pool/metadata/pool.parquet",
    }
    assert run_json(*arguments)["shards_skipped"] == 2
    report = run_json("check", "--data-dir", f"{s3_url}/pool", "--decode", "all")
    assert (report["samples"], report["statuses"], report["images_decoded"]) == (6, {"ok": 6}, 6)
    result = run("check", "--data-dir", f"{s3_url}/pool")
    assert result.exit_code == 0
    assert re.search(r"^statuses +ok 6$", result.stdout, re.MULTILINE)
    assert re.search(r"^missing shards +none$", result.stdout, re.MULTILINE)


def test_counts_take_suffixes_and_max_side_shrinks(pictures: tuple[str, str], tmp_path: Path) -> None:
    target = str(tmp_path / "pool")
    run_json(*make_arguments(pictures, target), "--samples-per-shard", "10K", "--max-side", "8", "--name", "small")
    assert run_json("check", "--data-dir", target)["image_side"]["largest"] == 8
    assert storage.exists(f"{target}/metadata/small.parquet")


def test_a_damaged_pool_is_reported_and_exits_with_65(pictures: tuple[str, str], tmp_path: Path) -> None:
    target = tmp_path / "pool"
    run_json(*make_arguments(pictures, str(target)), "--samples-per-shard", "3")
    shard = target / "shards" / "00000001.tar"
    shard.write_bytes(shard.read_bytes()[:2000])
    result = run("check", "--data-dir", str(target))
    assert isinstance(result.exception, BadInputError)
    assert result.exception.exit_code == 65
    assert "damaged shards: 1" in str(result.exception)
    assert re.search(r"^damaged shards +shards/00000001\.tar at byte \d", result.stdout, re.MULTILINE)
    as_json = run("check", "--data-dir", str(target), "--json")
    assert isinstance(as_json.exception, BadInputError)
    damaged = json.loads(as_json.stdout)["damaged_shards"]
    assert [(item["shard"], item["reason"]) for item in damaged] == [("shards/00000001.tar", "truncated member")]


def test_long_lists_are_shortened_for_people(pictures: tuple[str, str], tmp_path: Path) -> None:
    target = tmp_path / "pool"
    run_json(*make_arguments(pictures, str(target)), "--samples-per-shard", "1")
    (target / "shards/00000000.tar").rename(target / "shards/00000100.tar")
    for number in range(2, 60, 4):
        (target / f"shards/{number * 100:08d}.tar").write_bytes((target / "shards/00000100.tar").read_bytes())
    result = run("check", "--data-dir", str(target))
    assert "and 6 more" in result.stdout
    assert len(json.loads(run("check", "--data-dir", str(target), "--json").stdout)["missing_shards"]) == 16


def test_index_by_parts_on_s3(pictures: tuple[str, str], s3_url: str) -> None:
    run_json(*make_arguments(pictures, f"{s3_url}/pool"), "--samples-per-shard", "4")
    arguments = ["index", "--data-dir", f"{s3_url}/pool", "--output-dir", f"{s3_url}/out"]
    part = run_json(*arguments, "--index", "1", "--count", "2", "--num-workers", "1")
    assert re.fullmatch(rf"{s3_url}/out/index/[0-9a-f]{{16}}", part.pop("tables"))
    assert part == {"shards": 1, "skipped": 0, "rows": 2, "ok": 2, "bad": {}, "bad_examples": {}, "damaged": []}
    every = run(*arguments)
    assert every.exit_code == 0
    assert re.search(r"^skipped +1$", every.stdout, re.MULTILINE)
    assert re.search(r"^ok +6$", every.stdout, re.MULTILINE)


def test_index_of_a_pool_that_lost_a_shard_exits_with_65(pictures: tuple[str, str], tmp_path: Path) -> None:
    target = tmp_path / "pool"
    run_json(*make_arguments(pictures, str(target)), "--samples-per-shard", "3")
    arguments = ["index", "--data-dir", str(target), "--output-dir", str(tmp_path / "out")]
    run_json(*arguments, "--index", "0", "--count", "2")
    (target / "shards" / "00000001.tar").unlink()
    result = run(*arguments)
    assert isinstance(result.exception, BadInputError)
    assert result.exception.exit_code == 65
    assert "1 of 2 shards are gone, the others are indexed" in str(result.exception)


def test_make_evalset_of_both_kinds(pictures: tuple[str, str], s3_url: str) -> None:
    images, captions = pictures
    templates = ["--template", "a {c}.", "--template", "one {c}"]
    made = run_json("make-evalset", "--images-dir", images, "--output-dir", f"{s3_url}/classes", *templates)
    assert (made["images"], made["classes"], made["captions"]) == (6, 2, 0)
    assert storage.read_text(f"{s3_url}/classes/classnames.txt") == "apple\nhot dog\n"
    assert storage.read_text(f"{s3_url}/classes/zeroshot_classification_templates.txt") == "a {c}.\none {c}\n"

    arguments = ["make-evalset", "--images-dir", images, "--captions", captions, "--file-column", "path"]
    arguments += ["--caption-column", "text", "--output-dir", f"{s3_url}/retrieval"]
    made = run_json(*arguments)
    assert (made["images"], made["classes"], made["captions"]) == (6, 0, 6)
    assert run_json(*arguments, "--overwrite")["images"] == 6
    mixed = run(*arguments, "--overwrite", *templates)
    assert mixed.exit_code == 2
    assert "belong to classification" in mixed.output


def test_a_missing_column_is_one_line_with_the_remedy(pictures: tuple[str, str], tmp_path: Path) -> None:
    images, captions = pictures
    result = run("make", "--images-dir", images, "--captions", captions, "--output-dir", str(tmp_path / "pool"))
    assert isinstance(result.exception, ConfigError)
    assert "no column 'file' (it has: path, text)" in str(result.exception)


def test_numbers_that_are_none_are_usage_errors(tmp_path: Path) -> None:
    for arguments in (["check", "--data-dir", str(tmp_path), "--decode", "some"], ["make", "--max-side", "x"]):
        result = run(*arguments)
        assert result.exit_code == 2
        assert "not a whole number" in result.output


@pytest.mark.parametrize("command", ["make", "make-evalset", "check", "index"])
def test_help_has_a_worked_example(command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert f"datascaler pool {command} --" in result.output
