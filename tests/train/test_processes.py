"""The same run on one process and on several: the same batches, the same losses, the same substitutes."""

import os
import signal
import socket
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from datascaler.data.runs.run_folder import finished, run_url
from datascaler.errors import StoppedError
from datascaler.train import step
from datascaler.train.train_clip import train_clip
from tests.train.runs import (
    BATCH,
    STEPS,
    largest_difference,
    make_pool,
    make_pool_with_faults,
    metrics_of,
    run_cli,
    start_cli,
    tiny_spec,
    wait_for,
)
from tests.train.test_interrupted import saved_steps


def free_port() -> str:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        return str(holder.getsockname()[1])


def test_two_processes_on_object_storage_train_like_one(s3_url: str) -> None:
    """13 samples a step: the parts are uneven. The machine is odd: its own name does not resolve, torch's usual port is
    taken, Python runs without assertions and docstrings, and takes warnings for errors.
    """
    as_root = [] if os.getuid() == 0 else ["-r"]
    odd = ["env", "OMP_NUM_THREADS=0", "PYTHONOPTIMIZE=2", "PYTHONWARNINGS=error"]
    odd += ["unshare", *as_root, "-u", "sh", "-c", 'hostname node.invalid; exec "$@"', "sh"]
    pool = make_pool(f"{s3_url}/pool", samples=48, samples_per_shard=12)
    one, two = (tiny_spec(pool, f"{s3_url}/{name}", batch_size=13) for name in ("one", "two"))
    alone = train_clip(one)
    with socket.socket() as holder:
        with suppress(OSError):  # then another one has it
            holder.bind(("", 29500))
            holder.listen()
        done = run_cli("train", *two.arguments(), "--nproc-per-node=2", under=odd)
    assert done.returncode == 0, done.stderr
    together = finished(run_url(two))
    assert alone is not None
    assert together is not None
    assert together.samples_seen == alone.samples_seen == (STEPS * BATCH) // 13 * 13
    assert "on 2 process(es), cpu" in done.stderr
    # The result is printed once, by rank 0.
    assert done.stdout.count("samples seen") == 1
    ours, theirs = metrics_of(run_url(one)), metrics_of(run_url(two))
    assert [row["samples_seen"] for row in ours] == [row["samples_seen"] for row in theirs]
    assert [row["loss"] for row in theirs] == pytest.approx([row["loss"] for row in ours], abs=1e-4)
    # Adam turns the rounding of gradients that are nearly zero into parts of a step of up to lr.
    assert largest_difference(run_url(one), run_url(two)) < 0.5 * one.lr


def test_a_run_goes_on_with_other_numbers_of_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One process, then two that a cluster's PET_* variables describe, then one; every tenth image is broken."""
    pool = make_pool_with_faults(str(tmp_path / "pool"), broken=lambda number: number % 10 == 3)
    whole, cut = (
        tiny_spec(pool, str(tmp_path / name), train_num_samples=40 * BATCH, num_checkpoints=40, max_substituted=0.2)
        for name in ("whole", "cut")
    )
    train_clip(whole)

    with monkeypatch.context() as patch:
        asked = iter([False, False, True])
        patch.setattr(step, "stop_requested", lambda: next(asked))
        with pytest.raises(StoppedError, match="stopped on request at 36 samples"):
            train_clip(cut)

    cluster = {"PET_NNODES": "1", "PET_NPROC_PER_NODE": "2"}
    cluster |= {"PET_MASTER_ADDR": "127.0.0.1", "PET_MASTER_PORT": free_port()}
    torchrun = start_cli("train", *cut.arguments(), env=cluster)
    wait_for(lambda: saved_steps(cut) >= 6, torchrun, "three steps on two processes")
    torchrun.send_signal(signal.SIGTERM)
    _, err = torchrun.communicate(timeout=60)
    assert torchrun.returncode == 143, err
    assert "resuming  at 36 samples" in err
    assert "on 2 process(es), cpu" in err
    at = saved_steps(cut) * BATCH
    assert f"stopped on request at {at:,} samples; the same command goes on" in err
    assert err.splitlines()[-1] == "datascaler: error: stopped on request; the same command goes on"

    said: list[str] = []
    summary = train_clip(replace(cut, num_workers=0), say=said.append)
    assert f"resuming  at {at:,} samples" in said
    ours, theirs = metrics_of(run_url(whole)), metrics_of(run_url(cut))
    assert [row["step"] for row in theirs] == list(range(1, 41))
    assert [row["loss"] for row in theirs] == pytest.approx([row["loss"] for row in ours], abs=1e-3)
    begun = [(row["start"], row["processes"]) for row in theirs]
    steps = at // BATCH
    assert begun == [(1, 1)] * 3 + [(2, 2)] * (steps - 3) + [(3, 1)] * (40 - steps)
    substituted = [row["substituted"] for row in ours]
    assert [row["substituted"] for row in theirs] == substituted
    assert summary is not None
    assert summary.substituted == substituted[-1] > 20


@pytest.mark.slow
def test_an_error_that_only_rank_0_meets_ends_all_with_its_exit_code(pool: str, tmp_path: Path) -> None:
    spec = tiny_spec(pool, str(tmp_path))
    train_clip(spec)
    done = run_cli("train", *replace(spec, batch_size=4).arguments(), "--nproc-per-node=2")
    assert done.returncode == 78, done.stderr
    assert "holds another run: batch_size was 12 and is now 4" in done.stderr
    assert "Traceback" not in done.stderr
