"""From a verb and its flags to values of the chart: commands word for word, and the words of a command."""

from typing import Any

import pytest

from datascaler.cluster.submit.values import (
    eval_values,
    flag_value,
    flags_in,
    pipeline_values,
    score_values,
    subset_values,
    train_values,
    without_flags,
)
from datascaler.errors import ConfigError

EVALUATED: dict[str, Any] = {
    "data_dir": "s3://p",
    "train_dir": "s3://t",
    "model": None,
    "pretrained": None,
    "output_dir": None,
    "logs": None,
}
ODD = ["--data-dir=s3://pool a", "--output_dir", "s3://out/", "--method", "CLIP", "--tasks", "vtab/*,'x'", "--json"]


@pytest.mark.parametrize(
    ("make", "verb"),
    [(score_values, "score"), (eval_values, "eval"), (subset_values, "subset"), (train_values, "train")],
)
def test_the_command_is_what_was_typed(make: Any, verb: str) -> None:
    values = make("my-run", ODD, EVALUATED | {"output_dir": "s3://out/", "count": 1, "logs": None})
    assert values["command"] == ["datascaler", verb, *ODD]
    assert values["kind"] == verb
    assert values["name"] == "my-run"


def test_shared_runs_have_an_index_for_each_part() -> None:
    for make in (score_values, eval_values):
        assert make("n", ["--count", "1_0"], EVALUATED | {"count": 10})["completions"] == 10
    assert "completions" not in train_values("n", [], {"output_dir": "s3://o", "logs": None})


def test_scores_are_of_something() -> None:
    for source in ("data_dir", "from_metadata", "embeddings"):
        assert score_values("n", [], {source: "s3://p", "output_dir": "s3://o", "count": 2, "logs": None})
    with pytest.raises(ConfigError, match="Missing option '--data-dir'"):
        score_values("n", [], {"output_dir": "s3://o", "count": 2, "logs": None})


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"train_dir": None}, "give either --train-dir, or --model and --pretrained"),
        ({"model": "ViT-B-32"}, "give either --train-dir, or --model and --pretrained"),
        ({"train_dir": None, "pretrained": "openai"}, "evaluating a model that is not a run needs --output-dir"),
    ],
)
def test_what_is_evaluated_must_be_clear(params: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        eval_values("n", [], EVALUATED | {"count": 1} | params)


@pytest.mark.parametrize(
    ("params", "logs"),
    [
        ({"output_dir": "s3://o/", "logs": None}, "s3://o/logs/n"),
        ({"output_dir": None, "train_dir": "s3://t", "logs": None}, "s3://t/logs/n"),
        ({"output_dir": "s3://o", "logs": "gs://l/"}, "gs://l/n"),
    ],
)
def test_every_run_has_a_log_folder_of_its_own(params: dict[str, Any], logs: str) -> None:
    assert train_values("n", [], params)["logs"] == logs


def test_the_driver_of_a_pipeline_is_the_same_submit_that_waits() -> None:
    values = pipeline_values("n", ["--scale", "small"], {"output_dir": "s3://o", "logs": None})
    assert values["command"] == ["datascaler", "submit", "pipeline", "--wait", "--name", "n", "--scale", "small"]


@pytest.mark.parametrize(
    ("words", "flags", "left"),
    [
        ("--a 1 --b 2", ["--a"], "--b 2"),
        ("--a=1 --b 2", ["--a"], "--b 2"),
        ("--b 2 --a", ["--a"], "--b 2"),
        ("--a_x 1 --a-x=2 --b_y 3", ["--a-x"], "--b_y 3"),
        ("--use-mup --lr 1", ["--use-mup"], "--lr 1"),
        ("--use-mup true --lr 1", ["--use-mup"], "--lr 1"),
        ("--use-mup=false --lr 1", ["--use-mup"], "--lr 1"),
        ("--lr 1 --use-mup", ["--use-mup"], "--lr 1"),
        ("--lr -1 --seed 2", ["--lr"], "--seed 2"),
        ("--lr 1 --lrs 2", ["--lr"], "--lrs 2"),
        ("--a 1 --a 2", ["--a"], ""),
        ("--a= --b", ["--a"], "--b"),
        ("--b --c 1", [], "--b --c 1"),
    ],
)
def test_without_flags(words: str, flags: list[str], left: str) -> None:
    assert without_flags(words.split(), flags) == left.split()


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        (["--indexes", "3,7"], "--indexes", "3,7"),
        (["--indexes=3,7"], "--indexes", "3,7"),
        (["--sub_set=a=b"], "--sub-set", "a=b"),
        (["--index", "1", "--indexes", "2"], "--indexes", "2"),
        (["--index", "1"], "--indexes", None),
        (["--indexes"], "--indexes", ""),
        ([], "--indexes", None),
    ],
)
def test_flag_value(words: list[str], name: str, value: str | None) -> None:
    assert flag_value(words, name) == value


def test_flags_in() -> None:
    assert flags_in(["--a_b=1", "x", "--c", "-d", "--use-mup"]) == ["--a-b", "--c", "--use-mup"]
