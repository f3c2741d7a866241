"""What is said before a submit: pods, GPUs, samples, steps, and the estimate."""

from typing import Any

import pytest

from datascaler.cluster.submit.estimate import outlook, pool_line
from datascaler.cluster.submit.request import Spec
from datascaler.cluster.submit.submission import Submission
from datascaler.spec.score import ScoreSpec
from datascaler.spec.sweep import SweepSpec
from datascaler.spec.train import datacomp_recipe

SPEC = datacomp_recipe("small", data_dir="s3://p", output_dir="s3://o")


def lines(values: dict[str, Any], spec: Spec) -> list[str]:
    submission = Submission(name="run", namespace="ns", values=values, text="")
    return list(outlook(submission, spec))


def scoring(count: int = 1) -> ScoreSpec:
    return ScoreSpec(data_dir="s3://p", output_dir="s3://o", method="clip", count=count)


@pytest.mark.parametrize(
    ("values", "pods"),
    [
        ({"kind": "score", "completions": 16}, "16 at a time, 16 x nvidia.com/gpu"),
        ({"kind": "score", "completions": 10_000, "parallelism": 1000, "gpu": {"count": 2}},
         "1,000 at a time, 2,000 x nvidia.com/gpu"),
        ({"kind": "eval", "completions": 4, "gpu": {"count": 0}}, "4 at a time, no GPU"),
        ({"kind": "subset"}, "1 at a time, no GPU"),
        ({"kind": "train", "train": {"workers": 4}, "gpu": {"count": 8, "resource": "amd.com/gpu"}},
         "4 at a time, 32 x amd.com/gpu"),
        ({"kind": "train", "runs": [{"name": "a"}, {"name": "b", "gpu": {"count": 3}}]},
         "2 at a time, 4 x nvidia.com/gpu"),
    ],
)  # fmt: skip
def test_pods_and_gpus(values: dict[str, Any], pods: str) -> None:
    assert f"pods      {pods}" in lines(values, scoring(values.get("completions", 1)))


def test_a_training_run() -> None:
    assert lines({"kind": "train", "train": {"workers": 2}, "gpu": {"count": 4}}, SPEC) == [
        "run       ns/run",
        "samples   12,800,000 a run, in 3,125 steps of 4,096",
        "pods      2 at a time, 8 x nvidia.com/gpu",
        "estimate  4 A100-hours by DataComp's record, 0.5 h on these GPUs if they are such",
    ]


def test_a_sweep_is_counted_whole() -> None:
    runs = [{"name": f"run-{number}"} for number in range(1000)]
    said = lines({"kind": "train", "runs": runs, "gpu": {"count": 0}}, SPEC)
    assert said[0] == "run       ns/run, 1,000 runs"
    assert said[-1] == "estimate  4,000 A100-hours by DataComp's record"
    assert lines({"kind": "train", "runs": runs, "gpu": {"count": 0}}, SweepSpec(base=SPEC)) == said


def test_one_pod_for_all_is_pointed_out() -> None:
    note = "note      one pod does it all; --count N shares the work among N"
    assert note in lines({"kind": "score", "completions": 1}, scoring(1))
    assert note not in lines({"kind": "score", "completions": 2}, scoring(2))


def test_the_pool() -> None:
    assert pool_line(12_896, 1234.56) == (
        "pool      12,896 shards, 1,234.6 GB; at most 128,960,000 samples if its shards are as DataComp's"
    )
