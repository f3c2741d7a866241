"""Small pools and small runs: what the tests of training start from."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import torch

from datascaler import storage
from datascaler.data.make.write_pool import write_pool
from datascaler.data.pool.pool_rows import PoolSample
from datascaler.data.pool.write_tar import TarWriter
from datascaler.demo.pairs import draw_clean
from datascaler.models.run_weights import newest_checkpoint, read_checkpoint
from datascaler.spec.train import TrainSpec, datacomp_recipe

ARCH = "ViT-Mini-8-48"
BROKEN = b"\xff\xd8\xff this was a photo"
STEPS, BATCH = 8, 12


def make_pool(url: str, samples: int = 64, samples_per_shard: int = 16) -> str:
    """Drawn pictures with captions. Returns the pool's data-dir."""
    drawn = enumerate(draw_clean(samples, seed=0))
    pairs = (
        PoolSample(image=pair.image_bytes, suffix="jpg", caption=pair.caption, url=str(number))
        for number, pair in drawn
    )
    write_pool(url, pairs, samples_per_shard)
    return url


def make_pool_with_faults(url: str, broken: Callable[[int], bool], samples: int = 48, per_shard: int = 12) -> str:
    """A pool whose tars hold images that do not decode; our own writer would refuse them."""
    pairs = list(draw_clean(samples, seed=0))
    for first in range(0, samples, per_shard):
        with storage.publish(storage.join(url, f"{first // per_shard:08d}.tar")) as file, TarWriter(file) as tar:
            for number in range(first, first + per_shard):
                members = {
                    "jpg": BROKEN if broken(number) else pairs[number].image_bytes,
                    "txt": pairs[number].caption.encode(),
                    "json": json.dumps({"uid": uid(number)}).encode(),
                }
                tar.add_sample(f"{number:012d}", members)
    return url


def uid(number: int) -> str:
    """Of the sample `number` of a pool with faults."""
    return f"{number:032x}"


def tiny_spec(data_dir: str, output_dir: str, **changes: Any) -> TrainSpec:
    """Eight steps of the smallest model; logged and saved at every step."""
    spec = datacomp_recipe(
        "debug",
        data_dir=data_dir,
        output_dir=output_dir,
        model_arch=ARCH,
        width_mult=Fraction(1, 4),
        min_width_mult=Fraction(1, 4),
        train_num_samples=STEPS * BATCH,
        batch_size=BATCH,
        lr=1e-3,
        warmup_steps=2,
        num_workers=0,
        num_checkpoints=STEPS,
        log_every_steps=1,
    )
    return replace(spec, **changes)


def end_fork_server() -> None:
    """Loader workers have the environment that their fork server was started in: let the next start one in ours."""
    forkserver._forkserver._stop()  # type: ignore[attr-defined]


def run_cli(
    *arguments: str, env: Mapping[str, str] | None = None, under: Sequence[str] = ()
) -> "subprocess.CompletedProcess[str]":
    """`datascaler ARGUMENTS` to its end, one computing thread a process; `under` is a command that runs it."""
    process = start_cli(*arguments, env=env, under=under)
    out, err = process.communicate(timeout=240)
    return subprocess.CompletedProcess(arguments, process.returncode, out, err)


def start_cli(
    *arguments: str,
    env: Mapping[str, str] | None = None,
    start_new_session: bool = False,
    under: Sequence[str] = (),
) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*under, sys.executable, "-m", "datascaler", *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1", **(env or {})},
        start_new_session=start_new_session,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(condition: Callable[[], bool], process: "subprocess.Popen[str]", what: str) -> None:
    """Until the condition holds; an error with the process's own words if it ends before."""
    deadline = time.monotonic() + 240
    while not condition():
        if process.poll() is not None:
            raise AssertionError(f"ended with {process.returncode} before {what}:\n{process.communicate()[1]}")
        if time.monotonic() > deadline:
            process.kill()
            raise AssertionError(f"no {what} after 240 s:\n{process.communicate()[1]}")
        time.sleep(0.01)


def only_run(output_dir: str | Path) -> str:
    (found,) = storage.list_files(str(output_dir), "/run.json", recursive=True)
    return storage.parent(found.url)


def metrics_of(run_url: str) -> list[dict[str, float]]:
    return [json.loads(line) for line in storage.read_text(storage.join(run_url, "metrics.jsonl")).splitlines()]


def checkpoint_of(run_url: str) -> dict[str, Any]:
    url = newest_checkpoint(run_url)
    assert url is not None
    return read_checkpoint(url)


def differing_weights(one: str, other: str) -> Iterator[str]:
    """Names of the tensors of two runs' newest checkpoints, moments included, that are not equal bit for bit."""
    first, second = checkpoint_of(one), checkpoint_of(other)
    assert first["samples_seen"] == second["samples_seen"]
    for name, value in first["state_dict"].items():
        if not torch.equal(value, second["state_dict"][name]):
            yield name
    for number, slots in first["optimizer"]["state"].items():
        for name, value in slots.items():
            if not torch.equal(value, second["optimizer"]["state"][number][name]):
                yield f"{name} of parameter {number}"


def largest_difference(one: str, other: str) -> float:
    first, second = checkpoint_of(one)["state_dict"], checkpoint_of(other)["state_dict"]
    return max(float((value - second[name]).abs().max()) for name, value in first.items())
