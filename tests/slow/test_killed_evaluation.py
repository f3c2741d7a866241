"""Evaluations that are killed: at every moment of a small one, and several workers from outside, at random ones."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from datascaler import storage
from tests.evaluate.killed import FILES, check_killed_at, count_moments, write_data
from tests.evaluate.sets import TEN_CLASSES, labelled, write_set
from tests.tiny_clip import save_local_dir

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]
WORKERS, KILLS = 2, 4
SETS = ("cifar10", "mnist", "stl10", "vtab/eurosat")


def test_killed_at_every_moment(tmp_path: Path) -> None:
    data_dir, whole = write_data(tmp_path / "data"), tmp_path / "whole"
    moments = count_moments(data_dir, str(whole))
    check_killed_at(list(range(moments)), data_dir, whole, tmp_path)
    assert all((tmp_path / str(moments - 1) / name).exists() for name in FILES)


def test_workers_that_are_killed_from_outside(tmp_path: Path, s3_url: str) -> None:
    """The command itself on object storage: two workers, each killed again and again at a random moment of its work."""
    for seed, key in enumerate(SETS):
        write_set(
            f"{s3_url}/sets/wds_{key.replace('/', '-')}_test", labelled(400, 10, seed=seed), classnames=TEN_CLASSES
        )
    model = save_local_dir(str(tmp_path / "tiny"))
    words = ["--model", model, "--data-dir", f"{s3_url}/sets", "--tasks", ",".join(SETS), "--batch-size=4"]
    words.append("--allow-partial-sets")
    assert _start(words, f"{s3_url}/whole").wait(600) == 0
    draw = random.Random(0)
    caught = 0
    for number in range(WORKERS * KILLS):
        share = [f"--index={number % WORKERS}", f"--count={WORKERS}"]
        process = _start([*words, *share], f"{s3_url}/out")
        deadline = time.monotonic() + 120
        before = _done(f"{s3_url}/out")
        # Until it is at work: it has written the first thing of this start, or ends by itself.
        while time.monotonic() < deadline and process.poll() is None and _done(f"{s3_url}/out") == before:
            time.sleep(0.02)
        time.sleep(draw.uniform(0, 0.5))
        process.send_signal(signal.SIGKILL)
        caught += process.wait() == -signal.SIGKILL
    for index in range(WORKERS):
        assert _start([*words, f"--index={index}", f"--count={WORKERS}"], f"{s3_url}/out").wait(600) == 0
    assert caught >= WORKERS
    for name in ("eval_results.jsonl", "eval_summary.json"):
        assert storage.read_bytes(f"{s3_url}/out/{name}") == storage.read_bytes(f"{s3_url}/whole/{name}")
    assert len(_done(f"{s3_url}/out")) == len(SETS)


def _start(words: list[str], output_dir: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "datascaler", "eval", *words, "--num-workers=1", "--output-dir", output_dir]
    return subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})


def _done(output_dir: str) -> set[str]:
    return {info.url for info in storage.list_files(f"{output_dir}/eval_results", ".json")}
