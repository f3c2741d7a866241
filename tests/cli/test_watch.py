"""`datascaler watch`, and what `datascaler runs` says of training runs, sweeps and evaluations."""

import json
import os
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from datascaler import storage
from datascaler.cli.main import cli
from datascaler.data.runs.run_folder import record_divergence
from datascaler.errors import RunNotFoundError
from tests.forecasting.runs import run_of
from tests.report.folders import leave_results, leave_sweep, leave_training_run


def invoke(*words: str) -> Result:
    return CliRunner().invoke(cli, words)


def test_one_run_at_length(tmp_path: Path) -> None:
    url = leave_training_run(run_of(str(tmp_path), "clip-f0.3"), 4.0, rows=200)
    result = invoke("watch", url)
    assert result.exit_code == 0, result.output
    name, state, bar, loss, figures = result.stdout.splitlines()
    assert name.endswith("lr0.0005-wd0.2-wu500-n12800000-s0")
    assert state == "complete"
    assert bar == f"[{'#' * 40}] 100%"
    assert loss.startswith("loss █")
    assert "▁" in loss
    assert "12,800,000 of 12,800,000 samples, loss 4.000, " in figures


def test_a_run_that_is_written_to_is_running(tmp_path: Path) -> None:
    spec = run_of(str(tmp_path), "clip-f0.3")
    url = leave_training_run(spec, 4.0, done=False)
    storage.publish_text(f"{url}/metrics.jsonl", '{"samples_seen": 6400000, "loss": 5, "samples_per_second": 2000}\n')
    result = invoke("watch", url, "--once")
    assert "running, 6,400,000 of 12,800,000 samples, loss 5.000, 2,000 samples/s, 53m 20s left" in result.stdout
    hour_ago = time.time() - 3600
    for info in storage.list_files(url, recursive=True):
        os.utime(info.url, (hour_ago, hour_ago))
    assert "stopped, 6,400,000 of" in invoke("watch", url).stdout


def test_several_runs_a_line_each_on_a_bucket(s3_url: str) -> None:
    first = run_of(s3_url, "clip-f0.3")
    leave_training_run(first, 4.0)
    leave_training_run(run_of(s3_url, "none-f1.0"), 4.0, done=False)
    record_divergence(first, 7, "loss is nan")
    storage.publish_text(f"{s3_url}/torn/run.json", "{")
    lines = invoke("watch", s3_url, "--once").stdout.splitlines()
    assert len(lines) == 3
    assert "none-f1.0" in lines[0]
    assert any("unreadable" in line for line in lines)


def test_runs_tell_the_hopeless_from_the_diverged(tmp_path: Path) -> None:
    for name, given_up in (("clip-f0.3", True), ("none-f1.0", False)):
        spec = run_of(str(tmp_path), name)
        leave_training_run(spec, 4.0, done=False)
        record_divergence(spec, 7, "the loss is 9", given_up=given_up)
    hopeless, diverged = json.loads(invoke("runs", str(tmp_path), "--json").stdout)["train"]
    assert (hopeless["state"], diverged["state"]) == ("given up", "diverged")
    assert hopeless["why"].startswith("step 7: the loss is 9 ")


def test_runs_lists_all_kinds(tmp_path: Path) -> None:
    folder = str(tmp_path)
    url = leave_training_run(run_of(folder, "clip-f0.3"), 4.0)
    scores = leave_results(f"{url}/eval", 0.3, tasks=5)
    leave_sweep(folder)
    storage.publish_text(f"{folder}/later/eval_results/cifar10.json", "{}")
    result = invoke("runs", folder)
    assert result.exit_code == 0, result.output
    for text in ("5 of 5", "0.001", "5 of 38", "complete", "some tasks are done", "12,800,000 of 12,800,000"):
        assert text in result.stdout
    found = json.loads(invoke("runs", folder, "--json").stdout)
    assert found["runs"] == []
    assert len(found["train"]) == 6
    assert found["sweeps"][0]["best_lr"] == 1e-3
    complete, begun = found["evaluations"]
    assert complete["average"] == pytest.approx(sum(scores.values()) / 5)
    assert begun["scored"] == 1


def test_a_folder_without_a_training_run(tmp_path: Path) -> None:
    assert isinstance(invoke("watch", str(tmp_path)).exception, RunNotFoundError)
