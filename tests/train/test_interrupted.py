"""Runs that are killed or stopped, through the command that a user types, end as runs that were not."""

import os
import signal
from pathlib import Path

from datascaler import storage
from datascaler.data.runs.run_folder import finished, run_url
from datascaler.spec.train import TrainSpec
from datascaler.train.train_clip import train_clip
from tests.train.runs import (
    BATCH,
    checkpoint_of,
    differing_weights,
    metrics_of,
    start_cli,
    tiny_spec,
    wait_for,
)

STEPS = 30


def test_killed_and_stopped_runs_end_bit_for_bit_like_an_uninterrupted_one(pool: str, tmp_path: Path) -> None:
    whole, cut = (
        tiny_spec(pool, str(tmp_path / name), train_num_samples=STEPS * BATCH, num_checkpoints=STEPS)
        for name in ("whole", "cut")
    )
    command = ["train", *cut.arguments()]
    train_clip(whole)

    killed = start_cli(*command)
    wait_for(lambda: saved_steps(cut) >= 3, killed, "three checkpoints")
    killed.kill()
    killed.communicate()
    first = saved_steps(cut)
    assert finished(run_url(cut)) is None

    # The signal goes to the loader's processes too, as job managers send it; the step in hand is still finished.
    stopped = start_cli(*command, "--num-workers=2", start_new_session=True)
    wait_for(lambda: saved_steps(cut) >= first + 3, stopped, "three more checkpoints")
    os.killpg(stopped.pid, signal.SIGTERM)
    _, err = stopped.communicate(timeout=60)
    assert stopped.returncode == 143, err
    at = saved_steps(cut) * BATCH
    assert err.splitlines()[-1] == f"datascaler: error: stopped on request at {at:,} samples; the same command goes on"
    assert f"resuming  at {first * BATCH:,} samples" in err
    assert checkpoint_of(run_url(cut))["samples_seen"] == at
    assert finished(run_url(cut)) is None

    said: list[str] = []
    train_clip(cut, say=said.append)
    assert f"resuming  at {at:,} samples" in said
    assert list(differing_weights(run_url(whole), run_url(cut))) == []
    ours, theirs = metrics_of(run_url(whole)), metrics_of(run_url(cut))
    assert [row["step"] for row in theirs] == list(range(1, STEPS + 1))
    for name in ("samples_seen", "loss", "lr", "substituted"):
        assert [row[name] for row in ours] == [row[name] for row in theirs]


def saved_steps(spec: TrainSpec) -> int:
    pointer = storage.join(run_url(spec), "checkpoints", "latest.json")
    return int(storage.read_json(pointer)["step"]) if storage.exists(pointer) else 0
