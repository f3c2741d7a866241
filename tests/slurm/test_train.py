"""Training on two nodes, stopped by Slurm in each of its ways, against a run that nobody disturbed."""

from collections.abc import Callable
from dataclasses import replace
from math import ceil
from pathlib import Path
from typing import Any

import pytest

from datascaler.data.runs.run_folder import finished, run_url
from datascaler.spec.train import TrainSpec
from tests.slurm.client import Slurm, held_still
from tests.train.runs import differing_weights, make_pool, metrics_of, tiny_spec
from tests.train.test_interrupted import saved_steps

pytestmark = pytest.mark.slurm
_STEPS, _BATCH = 96, 12
_STOPPED_EVERY = 6
"""Steps after which the run is stopped again. Many are left after the last time: a busy machine is slow to do so."""
_RANKS = 4
_TWO_NODES = ("--nodes=2",)


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> TrainSpec:
    folder = tmp_path_factory.mktemp("train")
    pool, samples = make_pool(str(folder / "pool")), _STEPS * _BATCH
    return tiny_spec(pool, str(folder), batch_size=_BATCH, train_num_samples=samples, num_checkpoints=_STEPS)


@pytest.fixture(scope="module")
def undisturbed(slurm: Slurm, spec: TrainSpec, tmp_path_factory: pytest.TempPathFactory) -> TrainSpec:
    """A run whose processes are the job's tasks."""
    own = replace(spec, output_dir=str(tmp_path_factory.mktemp("ranks")))
    job = slurm.submit("train_ranks", *own.arguments(), job=[*_TWO_NODES, f"--ntasks-per-node={_RANKS // 2}"])
    slurm.wait(job)
    assert slurm.look(job)["JobState"] == "COMPLETED", slurm.said()
    assert f"this is one of {_RANKS} processes, started by Slurm" in slurm.log(job)
    return own


def test_a_run_that_is_stopped_three_times_is_the_one_that_never_was(
    slurm: Slurm, spec: TrainSpec, undisturbed: TrainSpec, tmp_path: Path, figures: dict[str, Any]
) -> None:
    """A task a node, which starts its node's processes: twice preempted, once at its time limit."""
    own = replace(spec, output_dir=str(tmp_path / "runs"))
    flags = (*own.arguments(), "--nproc-per-node", str(_RANKS // 2))
    job = slurm.submit("train", *flags, job=[*_TWO_NODES, "--cpus-per-task=2", "--time=60"])

    def preempt() -> None:
        slurm.submit_text("sleep 1", job=["--partition=high", *_TWO_NODES, "--exclusive"])

    def shorten() -> None:
        # Two minutes before the limit, and at most half a minute earlier, the job has its signal.
        hours, minutes, seconds = map(int, slurm.look(job)["RunTime"].split(":"))
        limit = hours * 60 + ceil(minutes + seconds / 60) + 2
        slurm.run("scontrol", "update", f"JobId={job}", f"TimeLimit={limit}")

    stops: list[Callable[[], None]] = [preempt, preempt, shorten]
    for number, stop in enumerate(stops, start=1):
        pids = slurm.processes(job, "RANK", _RANKS)
        target = _STOPPED_EVERY * number
        slurm.until(lambda target=target: saved_steps(own) >= target, f"step {target}")  # type: ignore[misc]
        with held_still(pids):
            signals = slurm.log(job).count("CANCELLED AT")
            stop()
            slurm.until(lambda signals=signals: slurm.log(job).count("CANCELLED AT") > signals, "signal")  # type: ignore[misc]
        slurm.until(lambda number=number: slurm.look(job)["Restarts"] == str(number), "requeue")  # type: ignore[misc]
    slurm.run("scontrol", "update", f"JobId={job}", "TimeLimit=60")
    slurm.wait(job)

    look = slurm.look(job)
    assert (look["JobState"], look["Restarts"]) == ("COMPLETED", str(len(stops))), slurm.said()
    figures["requeues"] = int(look["Restarts"])
    summary = finished(run_url(own))
    assert summary is not None
    assert summary.samples_seen == own.train_num_samples
    one, other = run_url(own), run_url(undisturbed)
    losses = [[(row["step"], row["loss"]) for row in metrics_of(url)] for url in (one, other)]
    assert [step for step, _ in losses[0]] == list(range(1, _STEPS + 1))
    figures["train_equal"] = losses[0] == losses[1] and not list(differing_weights(one, other))
    assert figures["train_equal"]


@pytest.mark.parametrize("script", ["train", "train_ranks", "sweep"])
def test_wrong_configuration_is_not_tried_again(slurm: Slurm, tmp_path: Path, script: str) -> None:
    flags = ("--data-dir", str(tmp_path / "nothing"), "--output-dir", str(tmp_path / "runs"), "--scale", "debug")
    job = slurm.submit(script, *flags, job=[*_TWO_NODES, "--ntasks-per-node=1"])
    slurm.wait(job)
    assert (slurm.look(job)["JobState"], slurm.look(job)["Restarts"]) == ("FAILED", "0")
    assert slurm.look(job)["ExitCode"] == "78:0"
