"""Many runs by one command: what is wrong with some of them ends nothing for the others."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from datascaler import storage
from datascaler.cli.main import cli
from datascaler.data.runs.run_folder import run_url
from datascaler.errors import BadInputError, ConfigError, PartlyFailedError
from datascaler.models.run_weights import newest_checkpoint
from datascaler.spec.train import TrainSpec
from datascaler.train.train_clip import train_clip
from tests.evaluate.sets import TEN_CLASSES, labelled, write_set
from tests.train.runs import BATCH, make_pool, tiny_spec


@pytest.fixture(scope="module")
def one_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrainSpec]:
    """A run of two steps, and two evaluation sets beside it, one of them broken."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("models")
    pool = make_pool(str(folder / "pool"), samples=24, samples_per_shard=12)
    spec = tiny_spec(pool, str(folder / "runs"), train_num_samples=2 * BATCH, num_checkpoints=2, warmup_steps=0)
    train_clip(spec)
    write_set(str(folder / "sets/wds_cifar10_test"), labelled(6), shards=1, classnames=TEN_CLASSES)
    write_set(str(folder / "sets/wds_mnist_test"), labelled(6), shards=1, classnames=TEN_CLASSES)
    (folder / "sets/wds_mnist_test/test/nshards.txt").write_text("?")
    yield spec
    torch.set_num_threads(before)


def copied(one_run: TrainSpec, to: Path, lr: float, *, complete: bool = True) -> str:
    """The run once more, with another learning rate in its run.json and path."""
    spec = replace(one_run, lr=lr, output_dir=str(to / "runs"))
    url = run_url(spec)
    shutil.copytree(run_url(one_run), url)
    record = storage.read_record(f"{url}/run.json")
    storage.publish_record(f"{url}/run.json", record | {"spec": spec.record()})
    if not complete:
        storage.remove(f"{url}/summary.json")
    return url


def evaluate(runs: Path, one_run: TrainSpec, *flags: str) -> tuple[Any, Exception | None]:
    """What the command prints, and what ends it."""
    sets = str(Path(one_run.output_dir).parent / "sets")
    # The sets have 6 images where DataComp's have 10,000.
    words = ["eval", "--train-dir", str(runs / "runs"), "--data-dir", sets, "--num-workers=1", *flags]
    words.append("--allow-partial-sets")
    result = CliRunner().invoke(cli, words)
    assert result.exception is None or isinstance(result.exception, Exception)
    return result.stdout, result.exception


def test_the_good_runs_are_evaluated_printed_and_published(one_run: TrainSpec, tmp_path: Path) -> None:
    good = copied(one_run, tmp_path, 1e-3)
    unfinished = copied(one_run, tmp_path, 2e-3, complete=False)
    diverged = copied(one_run, tmp_path, 3e-3, complete=False)
    storage.publish_json(f"{diverged}/diverged.json", {"step": 2, "message": "the loss is nan"})
    young = copied(one_run, tmp_path, 4e-3, complete=False)
    shutil.rmtree(f"{young}/checkpoints")
    torn = copied(one_run, tmp_path, 5e-3)
    storage.publish_bytes(f"{torn}/run.json", b'{"spec"')
    rotten = copied(one_run, tmp_path, 6e-3)
    for checkpoint in Path(rotten, "checkpoints").glob("*.pt"):
        checkpoint.write_bytes(checkpoint.read_bytes()[:1000])

    printed, error = evaluate(tmp_path, one_run, "--tasks=cifar10", "--json")
    rows = {row["run"]: row for row in json.loads(printed)["runs"]}
    assert set(rows) == {good, unfinished, diverged, young, torn, rotten}
    assert isinstance(error, PartlyFailedError)
    assert error.exit_code == 104
    assert "5 of 6 runs" in str(error)
    for url in (good, unfinished):
        (line,) = storage.read_text(f"{url}/eval/eval_results.jsonl").splitlines()
        assert json.loads(line)["metrics"]["acc1"] == rows[url]["scores"]["cifar10"]
    reasons = {
        good: "",
        unfinished: "the run is not complete: these are the scores of its newest checkpoint",
        diverged: "it diverged at step 2: the loss is nan",
        young: "it is not complete, and has no checkpoint yet",
        torn: "run.json: not valid JSON",
    }
    for url, reason in reasons.items():
        assert reason in rows[url]["failure"]
        assert reason in str(error)
    assert rows[rotten]["failure"]
    assert [bool(row["scores"]) for row in rows.values()].count(True) == 2

    table, _ = evaluate(tmp_path, one_run, "--tasks=cifar10")
    first, second = table.splitlines()[:2]
    assert first.split()[-1] == "failure"
    assert second.startswith(f"* {good}")


def test_a_broken_task_costs_no_other_task_of_any_run(one_run: TrainSpec, tmp_path: Path) -> None:
    good = copied(one_run, tmp_path, 1e-3)
    printed, error = evaluate(tmp_path, one_run, "--tasks=mnist,cifar10", "--json")
    assert isinstance(error, BadInputError)
    assert error.exit_code == 65
    (row,) = json.loads(printed)["runs"]
    assert list(row["scores"]) == ["cifar10"]
    assert "nshards.txt: must hold the number of tars, got '?'" in row["failed"]["mnist"]
    assert storage.read_json(f"{good}/eval/eval_summary.json")["failed"] == row["failed"]
    copied(one_run, tmp_path, 2e-3)
    printed, error = evaluate(tmp_path, one_run, "--tasks=mnist,cifar10", "--json")
    assert isinstance(error, PartlyFailedError)
    assert [list(row["scores"]) for row in json.loads(printed)["runs"]] == [["cifar10"]] * 2

    checkpoint = newest_checkpoint(good)
    assert checkpoint
    where = ("--pretrained", checkpoint, "--output-dir", str(tmp_path / "single"), "--tasks=mnist,cifar10", "--json")
    sets = str(Path(one_run.output_dir).parent / "sets")
    result = CliRunner().invoke(cli, ["eval", "--data-dir", sets, *where, "--allow-partial-sets"])
    assert isinstance(result.exception, BadInputError)
    printed = json.loads(result.stdout)
    assert (printed["scores"], list(printed["failed"])) == (row["scores"], ["mnist"])


def test_every_average_says_of_how_many_tasks_it_is(one_run: TrainSpec, tmp_path: Path) -> None:
    good = copied(one_run, tmp_path, 1e-3)
    table, _ = evaluate(tmp_path, one_run)
    assert "1 of 38" in table
    assert "no data for vtab/caltech101, " in table
    assert "failed mnist" in table
    assert "cifar10: 6 images were evaluated, the task has 10000" in table
    sets = str(Path(one_run.output_dir).parent / "sets")
    words = ["--pretrained", good, "--output-dir", f"{good}/eval", "--allow-partial-sets"]
    result = CliRunner().invoke(cli, ["eval", "--data-dir", sets, *words])
    assert isinstance(result.exception, BadInputError)
    lines = {line.split("  ")[1].strip(): line for line in result.stdout.splitlines() if line.startswith("  ")}
    assert "1 of 38" in lines["average"]
    assert "0 of 13" not in result.stdout  # a group without any score has no line
    assert "1 of 14" in lines["decision set"]
    assert "6 of 10,000" in lines["cifar10"]
    assert lines["cifar10"].endswith("6 images were evaluated, the task has 10000")
    assert "failed: " in lines["mnist"]
    assert lines["imagenet1k"].endswith("no data")
    assert "average_38" not in storage.read_text(f"{good}/eval/eval_summary.json")


def test_no_scores_at_all_are_no_success(one_run: TrainSpec, tmp_path: Path) -> None:
    for lr in (1e-3, 2e-3):
        copied(one_run, tmp_path, lr)
    printed, error = evaluate(tmp_path, one_run, "--tasks=mnist", "--json")
    assert isinstance(error, BadInputError)
    assert [row["scores"] for row in json.loads(printed)["runs"]] == [{}, {}]
    for run in Path(tmp_path, "runs").rglob("run.json"):
        run.write_text("[]")
    printed, error = evaluate(tmp_path, one_run, "--tasks=cifar10")
    assert isinstance(error, ConfigError)
    assert printed == ""
