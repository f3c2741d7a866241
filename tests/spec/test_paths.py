"""Paths that can't be meant are refused: by the rule, by every spec, by every flag, and where files are written."""

import random
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from datascaler import storage, write_subset
from datascaler.cli.main import cli
from datascaler.cli.options import INPUT, OUTPUT
from datascaler.errors import ConfigError
from datascaler.spec.field import facts_of, flat_fields
from datascaler.spec.paths import check_file_name, check_path
from datascaler.spec.train import datacomp_recipe
from tests.cli.test_cli import COMMANDS

WRONG = {
    "": "is empty: give a folder or a URL",
    "  ": "is empty",
    "a\0b": "null character",
    "s3:/bucket": "did you mean s3://bucket?",
    "s3:bucket/x": "did you mean s3://bucket/x?",
    "s3//bucket": "did you mean s3://bucket?",
    "s3:///bucket": "did you mean s3://bucket?",
    "S3://bucket": "did you mean s3://bucket?",
    "s3:\\\\bucket": "did you mean s3://bucket?",
    "s3://": "did you mean s3://BUCKET?",
    "gs:/b": "did you mean gs://b?",
    "https:/host/pool": "did you mean https://host/pool?",
    "pool::s3:/b": "did you mean s3://b?",
    "file:/tmp/x": "did you mean file:///tmp/x?",
    "file://tmp/x": "did you mean file:///tmp/x?",
    "file:///": "did you mean file:///",
}
WRONG_OUTPUT = {"/": "root of the file system", "//": "root of the file system", "https://host/x": "web server"}
RIGHT = (
    "s3://b",
    "s3://b/x y",
    "s3-results",
    "s3/pool",
    "file",
    "file:///x",
    "a::s3://b",
    "../x",
    ".",
    "x:y",
    "C:/x",
    "é\n",
)


@pytest.mark.parametrize(("text", "said"), [*WRONG.items(), *WRONG_OUTPUT.items()])
def test_what_is_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match="--output-dir is ") as refused:
        check_path("--output-dir", text, written=True)
    assert said in str(refused.value)
    if text in WRONG_OUTPUT:
        check_path("--data-dir", text)


@pytest.mark.parametrize("text", RIGHT)
def test_what_is_not(text: str) -> None:
    check_path("--output-dir", text, written=True)


def test_whatever_is_meant_is_right() -> None:
    """Slashes, colons and letters lost or doubled at random: the remedy is accepted, and is the URL that was meant."""
    draw = random.Random(0)
    for _ in range(300):
        scheme, rest = draw.choice(["s3", "gs", "https"]), f"bucket/{draw.randrange(99)}"
        text = draw.choice([scheme, scheme.upper()]) + draw.choice([":", ":/", "://", ":///", "//", ":\\"]) + rest
        try:
            check_path("x", text)
        except ConfigError as error:
            meant = str(error).partition("did you mean ")[2].removesuffix("?")
            assert meant == f"{scheme}://{rest}", text
            check_path("x", meant)
        else:
            assert text == f"{scheme}://{rest}"


@pytest.mark.parametrize("name", ["", " ", ".", "..", "../x", "/x", "a/b"])
def test_names_are_no_paths(name: str) -> None:
    with pytest.raises(ConfigError, match="--subset-name is"):
        check_file_name("--subset-name", name)


def path_options() -> list[tuple[tuple[str, ...], str]]:
    return [
        (path, param.opts[0])
        for path, command in COMMANDS.items()
        for param in command.params
        if isinstance(param, click.Option) and param.type in (INPUT, OUTPUT)
    ]


@pytest.mark.parametrize(
    ("path", "flag"), path_options(), ids=lambda each: " ".join(each) if isinstance(each, tuple) else each
)
@pytest.mark.parametrize("text", ["", "s3:/bucket"])
def test_flags_that_are_of_no_spec(path: tuple[str, ...], flag: str, text: str) -> None:
    result = CliRunner().invoke(cli, [*path, f"{flag}={text}"])
    assert result.exit_code == 2
    assert f"{flag} is " in result.stderr


def test_every_flag_for_a_folder_is_checked() -> None:
    """One that is of a spec, whose field says so, or of a type that does."""
    checked = {flag for _, flag in path_options()}
    assert {"--images-dir", "--captions", "--output", "--output-dir", "--data-dir", "--plan", "--classnames"} <= checked
    for path, command in COMMANDS.items():
        for param in command.params:
            if isinstance(param, click.Option) and str(param.name).endswith("_dir") and path[0] in ("pool", "demo"):
                assert param.type in (INPUT, OUTPUT), (path, param.opts)


SPEC_COMMANDS: dict[str, list[str]] = {
    "score": ["--data-dir=p", "--output-dir=o", "--method=clip"],
    "subset": ["--output-dir=o", "--method=clip", "--fraction=0.3"],
    "train": ["--data-dir=p", "--output-dir=o", "--scale=small"],
    "sweep": ["--data-dir=p", "--output-dir=o", "--scale=small"],
    "eval": ["--train-dir=r", "--data-dir=p", "--output-dir=o"],
}


@pytest.mark.parametrize("verb", SPEC_COMMANDS)
@pytest.mark.parametrize("text", ["", "s3:/bucket", "/"])
def test_outputs_of_every_verb(verb: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = [f"--output-dir={text}" if word.startswith("--output-dir") else word for word in SPEC_COMMANDS[verb]]
    result = CliRunner().invoke(cli, [verb, *words])
    assert result.exit_code == 2, result.output
    assert "--output-dir is " in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words",
    [("report", "file://"), ("report", "runs", "--output=s3:/b.html"), ("forecast", "s3:/runs", "--target=large")],
    ids=" ".join,
)
def test_the_runs_of_a_page_and_of_a_forecast(words: tuple[str, ...]) -> None:
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 2, result.output
    assert "did you mean" in result.stderr


def test_the_library_refuses_them_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="output_dir is empty"):
        datacomp_recipe("small", data_dir="pool", output_dir="")
    for act in (
        lambda: write_subset("s3:/bucket/x", ["0" * 32]),
        lambda: storage.join("", "scores"),
        lambda: storage.publish_text("s3:/bucket/x", ""),
    ):
        with pytest.raises(ConfigError):
            act()
    assert list(tmp_path.iterdir()) == []


def test_outputs_are_those_where_results_go() -> None:
    from tests.spec.test_round_trips import CASES

    for kind in CASES:
        for each in flat_fields(kind):
            facts: Any = facts_of(each)
            assert not facts.written or facts.place in ("url", "node"), each.name
            if each.name == "output_dir":
                assert facts.written, kind


@pytest.mark.parametrize("text", ["pool\udcff", "s3://b/\ud83d", "a::b\udc80"])
def test_a_name_that_is_no_text_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"data_dir is .*\\ud.*, which is not UTF-8"):
        check_path("data_dir", text)
