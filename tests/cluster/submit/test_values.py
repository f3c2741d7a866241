"""From a verb and its flags to values of the chart: commands word for word."""

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from datascaler.cluster.submit.values import (
    eval_values,
    pipeline_values,
    score_values,
    subset_values,
    train_values,
)
from datascaler.errors import ConfigError
from datascaler.spec.evaluate import EvalSpec
from datascaler.spec.pipeline import PipelineSpec
from datascaler.spec.score import ScoreSpec
from datascaler.spec.subset import SubsetSpec
from datascaler.spec.train import datacomp_recipe

POOL: dict[str, Any] = {"data_dir": "s3://pool a", "output_dir": "s3://out/"}
SCORED = ScoreSpec(**POOL, method="clip")
CHOSEN = SubsetSpec(output_dir="s3://out/", method="clip", fraction=Fraction(3, 10))
TRAINED = datacomp_recipe("small", **POOL)
EVALUATED = EvalSpec(data_dir="s3://p", train_dir="s3://t")
ODD = ["--data-dir=s3://pool a", "--output_dir", "s3://out/", "--method", "CLIP", "--tasks", "vtab/*,'x'", "--json"]


@pytest.mark.parametrize(
    ("make", "spec", "verb"),
    [
        (score_values, SCORED, "score"),
        (eval_values, EVALUATED, "eval"),
        (subset_values, CHOSEN, "subset"),
        (train_values, TRAINED, "train"),
    ],
)
def test_the_command_is_what_was_typed(make: Any, spec: Any, verb: str) -> None:
    values = make("my-run", ODD, spec)
    assert values["command"] == ["datascaler", verb, *ODD]
    assert values["kind"] == verb
    assert values["name"] == "my-run"


def test_shared_runs_have_an_index_for_each_part() -> None:
    assert score_values("n", ["--count", "1_0"], replace(SCORED, count=10))["completions"] == 10
    assert eval_values("n", ["--count", "1_0"], replace(EVALUATED, count=10))["completions"] == 10
    assert "completions" not in train_values("n", [], TRAINED)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_dir": None}, "give either --train-dir, or --model and --pretrained"),
        ({"model": "ViT-B-32"}, "give either --train-dir, or --model and --pretrained"),
        ({"eval_every": -1}, "eval_every must not be negative, got -1"),
        (
            {"train_dir": None, "pretrained": "openai", "output_dir": "s3://o", "eval_every": 5},
            "eval_every 5 follows runs that train: give --train-dir",
        ),
        ({"train_dir": None, "pretrained": "openai"}, "evaluating a model that is not a run needs --output-dir"),
    ],
)
def test_what_is_evaluated_must_be_clear(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(EVALUATED, **changes)


@pytest.mark.parametrize(
    ("make", "spec", "logs", "folder"),
    [
        (train_values, TRAINED, None, "s3://out/logs/n"),
        (eval_values, EVALUATED, None, "s3://t/logs/n"),
        (eval_values, replace(EVALUATED, output_dir="s3://o"), None, "s3://o/logs/n"),
        (train_values, TRAINED, "gs://l/", "gs://l/n"),
    ],
)
def test_every_run_has_a_log_folder_of_its_own(make: Any, spec: Any, logs: str | None, folder: str) -> None:
    assert make("n", [], spec, logs)["logs"] == folder


def test_the_driver_of_a_pipeline_is_the_same_submit_that_waits() -> None:
    spec = PipelineSpec(data_dir="s3://p", output_dir="s3://o", method="clip", fraction=Fraction(1), scale="small")
    values = pipeline_values("n", ["--scale", "small"], spec)
    assert values["command"] == ["datascaler", "submit", "pipeline", "--wait", "--name", "n", "--scale", "small"]
    assert values["logs"] == "s3://o/logs/n"
