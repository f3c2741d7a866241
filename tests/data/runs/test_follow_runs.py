"""Evaluation of a run that still trains: its checkpoints as they come, beside and never over the complete run's."""

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from datascaler.cli.main import cli
from datascaler.data.runs.run_folder import run_url
from datascaler.spec.train import TrainSpec
from datascaler.train.checkpoint import Checkpoints
from datascaler.train.train_clip import train_clip
from tests.evaluate.sets import TEN_CLASSES, labelled, write_set
from tests.train.runs import BATCH, make_pool, tiny_spec

STEPS = 5


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TrainSpec, list[Path]]]:
    """A run's folder as it was after each checkpoint, and at last complete; evaluation sets lie beside it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("growing")
    spec = tiny_spec(
        make_pool(str(folder / "pool"), samples=24, samples_per_shard=12),
        str(folder / "runs"),
        model_arch="ViT-Micro-12-48",
        train_num_samples=STEPS * BATCH,
        num_checkpoints=STEPS,
    )
    stages: list[Path] = []
    save = Checkpoints.save

    def saved(*arguments: Any) -> str:
        url = save(*arguments)
        stages.append(Path(shutil.copytree(run_url(spec), folder / f"stage {len(stages)}")))
        return url

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoints, "save", saved)
        train_clip(spec)
    stages.append(Path(shutil.copytree(run_url(spec), folder / "complete")))
    write_set(str(folder / "sets/wds_cifar10_test"), labelled(6), shards=1, classnames=TEN_CLASSES)
    yield spec, stages
    torch.set_num_threads(threads)


def test_checkpoints_are_evaluated_as_they_come_and_then_the_run(
    trained: tuple[TrainSpec, list[Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, stages = trained
    run = tmp_path / "runs" / spec.folder
    (tmp_path / "runs").mkdir()
    left = iter(stages)

    def train_on(_seconds: float) -> None:
        """While the evaluation waits, the job goes on."""
        stage = next(left)
        shutil.rmtree(run / "checkpoints", ignore_errors=True)
        shutil.copytree(stage, run, dirs_exist_ok=True)

    monkeypatch.setattr(time, "sleep", train_on)
    train_on(0)
    sets = str(Path(spec.output_dir).parent / "sets")
    words = ["eval", "--data-dir", sets, "--num-workers=1", "--tasks=cifar10", "--json", "--allow-partial-sets"]
    follow = [*words, "--train-dir", str(tmp_path / "runs"), "--eval-every", str(2 * BATCH)]
    done = CliRunner().invoke(cli, follow, catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    (row,) = json.loads(done.stdout)["runs"]
    results = run / "eval"
    names = ["step_00000002", "step_00000004"]
    assert sorted(path.name for path in (results / "checkpoints").iterdir()) == ["eval_curve.jsonl", *names]
    curve = [json.loads(line) for line in (results / "checkpoints/eval_curve.jsonl").read_text().splitlines()]
    assert [(each["checkpoint"], each["samples_seen"]) for each in curve] == [
        (name, step * BATCH) for name, step in zip(names, (2, 4), strict=True)
    ]
    assert all((each["scored"], each["of"]) == (1, 38) for each in curve)

    # The run's own results are those of the complete run alone.
    checkpoint = str(stages[-1] / f"checkpoints/step_{STEPS:08d}.pt")
    alone = tmp_path / "alone"
    single = CliRunner().invoke(cli, [*words, "--pretrained", checkpoint, "--output-dir", str(alone)])
    assert single.exit_code == 0
    for file in ("eval_results.jsonl", "eval_summary.json", "eval_samples/cifar10.parquet"):
        assert (alone / file).read_bytes() == (results / file).read_bytes()
    folders = [results, *(results / "checkpoints" / name for name in names)]
    assert len({json.loads((each / "eval_summary.json").read_text())["weights_hash"] for each in folders}) == 3
    assert row["scores"] == json.loads((results / "eval_summary.json").read_text())["scores"]


def test_what_can_not_be_evaluated_is_said_once_a_checkpoint_and_the_run_is_followed_on(
    trained: tuple[TrainSpec, list[Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, stages = trained
    run = tmp_path / "runs" / spec.folder
    shutil.copytree(stages[1], run)
    damaged = run / "checkpoints/step_00000002.pt"
    damaged.write_bytes(damaged.read_bytes()[:-100])
    left = iter([stages[3], stages[-1]])
    waited: list[float] = []

    def train_on(seconds: float) -> None:
        waited.append(seconds)
        shutil.copytree(next(left), run, dirs_exist_ok=True)

    monkeypatch.setattr(time, "sleep", train_on)
    write_set(str(tmp_path / "sets/wds_cifar10_test"), labelled(6), shards=1, classnames=TEN_CLASSES)
    (tmp_path / "sets/wds_cifar10_test/test/0.tar").write_bytes(b"no tar")
    words = ["eval", "--data-dir", str(tmp_path / "sets"), "--num-workers=1", "--tasks=cifar10", "--eval-every=1"]
    done = CliRunner().invoke(cli, [*words, "--train-dir", str(tmp_path / "runs")])
    assert done.exception
    assert done.stderr.count("the run has replaced this checkpoint meanwhile") == 1
    assert done.stderr.count("step_00000004 can't be evaluated") == 1
    assert len(waited) == 2
