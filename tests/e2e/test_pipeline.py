"""The whole line as one submit, with nobody at the keyboard."""

import json

import pytest

from datascaler import storage
from tests.e2e.cluster import Cluster
from tests.e2e.data import Data
from tests.e2e.launcher import Launcher

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("operator")]


def test_the_cluster_goes_on_alone_to_the_evaluation_table(cluster: Cluster, launcher: Launcher, data: Data) -> None:
    out = storage.join(data.url, "pipeline")
    small = "--model-arch ViT-Micro-12-48 --batch-size 48 --train-num-samples 960 --warmup 2 --num-workers 0"
    arguments = (
        *("submit", "pipeline", "--name", "line", "--data-dir", data.pool, "--output-dir", out, "--method", "dfn"),
        *("--fraction", "0.5", "--scale", "small", "--eval-data-dir", data.evalsets),
        *("--score", f"--pretrained {data.filter_run} --count 2 --num-workers 1"),
        *("--sweep", "--lrs 1e-3,3e-3"),
        *("--train", f"{small} --workers 1"),
        *("--eval", f"--task-dir {data.tasks} --num-workers 1"),
    )
    handle = launcher(*arguments).out.strip()
    # The command has returned: from here on only the cluster works.
    assert handle == f"{launcher.namespace}/line"
    waited = launcher("wait", handle, "--timeout", "1200", timeout=1300)
    assert "succeeded" in waited.err

    steps = {run["name"]: run["state"] for run in json.loads(launcher("status", handle, "--json").out)["runs"]}
    assert steps == dict.fromkeys(
        ["line", "line-score", "line-subset", "line-sweep-0", "line-sweep-1", "line-train", "line-eval"], "succeeded"
    )
    results = [info.url for info in storage.list_files(out, "eval_results.jsonl", recursive=True)]
    # Both points of the sweep, one of which is the run of the train step.
    assert len(results) == 2
    for url in results:
        [row] = map(json.loads, storage.read_text(url).splitlines())
        assert 0 <= row["metrics"]["acc1"] <= 1

    # Again: every step is complete, so nothing is done.
    again = launcher(*arguments)
    assert "is there already with the same spec: succeeded" in again.err
    launcher("cancel", handle)
    assert cluster.left(launcher.namespace, "line") == []
