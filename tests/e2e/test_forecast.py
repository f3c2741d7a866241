"""A ladder of small runs as one submit, which ends with the forecast's page; and the page of runs that are there."""

import json

import pytest

from datascaler import storage
from tests.e2e.cluster import Cluster
from tests.e2e.data import Data
from tests.e2e.launcher import Launcher

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("operator")]


def test_three_filters_at_two_widths_end_with_their_page(cluster: Cluster, launcher: Launcher, data: Data) -> None:
    scored, out = storage.join(data.url, "ladder-scored"), storage.join(data.url, "ladder")
    own = ("--output-dir", scored, "--method", "dfn")
    launcher("score", "--data-dir", data.pool, *own, "--pretrained", data.filter_run, "--num-workers", "1")
    for fraction in ("0.5", "0.25"):
        launcher("subset", *own, "--fraction", fraction)
    subsets = [f"{scored}/subsets/dfn-f{fraction}.npy" for fraction in ("0.5", "0.25")]
    arguments = (
        *("submit", "forecast", "--name", "which", "--data-dir", data.pool, "--output-dir", out, "--scale", "small"),
        *("--subset-files", ",".join([*subsets, "none"]), "--width-mults", "1,2", "--branch-at", "480,960"),
        *("--eval-data-dir", data.evalsets, "--target-samples", "3840", "--target-width", "4"),
        *("--train", "--model-arch ViT-Micro-12-48 --batch-size 48 --warmup 2 --num-workers 0 --use-mup --workers 1"),
        *("--eval", f"--task-dir {data.tasks} --num-workers 1", "--report", "--pictures 0"),
    )
    handle = launcher(*arguments).out.strip()
    assert handle == f"{launcher.namespace}/which"
    # The command has returned: from here on only the cluster works.
    waited = launcher("wait", handle, "--timeout", "1500", timeout=1600)
    assert "succeeded" in waited.err

    steps = {run["name"]: run["state"] for run in json.loads(launcher("status", handle, "--json").out)["runs"]}
    trained = [f"which-train-{number}" for number in range(6)]
    assert steps == dict.fromkeys(["which", *trained, "which-eval", "which-report"], "succeeded")
    # Three filters at two widths, each with two budgets of one trunk.
    results = storage.list_files(out, "/eval_results.jsonl", recursive=True)
    assert len(results) == 12
    page = storage.read_text(f"{out}/forecast.html")
    assert "The answer</h2>" in page
    for name in ("dfn-f0.5", "dfn-f0.25", "none-f1.0"):
        assert f"<bdi>{name}</bdi>" in page
    launcher("cancel", handle)
    assert cluster.left(launcher.namespace, "which") == []

    # The page of runs that are there, with pictures of the pool.
    other = f"{data.url}/report.html"
    name = launcher.submit("report", f"{out}/runs", scored, "--output", other)
    launcher("wait", name, "--timeout", "600")
    assert "samples seen" in storage.read_text(other)
