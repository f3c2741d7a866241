"""How much of its loader's rate a training run has, for a network that costs next to nothing."""

import json
import os
import time
from collections.abc import Iterable
from pathlib import Path
from statistics import mean

from benchmarks.score_pool import write_pool
from benchmarks.train_steps import ALONE, Turn
from datascaler.data.runs.run_folder import run_url
from datascaler.models.arch import reference_config
from datascaler.models.freed_memory import keep_freed_memory_on_cpu
from datascaler.spec.train import TrainSpec, datacomp_recipe
from datascaler.train.loading.batches import BatchSource, iterate_batches
from datascaler.train.open_data import opened_data
from datascaler.train.train_clip import train_clip

ROWS, BATCH_SIZE, STEPS, WARM_UP_STEPS = 1024, 128, 24, 8
"""Batches that were made before anybody asked for them are over after the warm-up. A run's rows of metrics, whose rates
are read here, come every so many steps, as often as a command's.
"""


def loader_turns(folder: Path, turns: int) -> list[Turn]:
    """Seconds of a step: of the loader alone, and of a run of ViT-Micro-12-48."""
    write_pool(folder / "pool", ROWS)
    keep_freed_memory_on_cpu()  # as the command does
    return [_turn(folder, number) for number in range(turns)]


def _turn(folder: Path, number: int) -> Turn:
    spec = _spec(folder, number)
    kinds = {"loader": _loader_seconds, "training": _training_seconds}
    # Every other turn goes backwards.
    return {name: kinds[name](spec) for name in list(kinds)[:: -1 if number % 2 else 1]}


def _spec(folder: Path, seed: int) -> TrainSpec:
    return datacomp_recipe(
        "small",
        data_dir=str(folder / "pool"),
        output_dir=str(folder / "runs"),
        model_arch="ViT-Micro-12-48",
        batch_size=BATCH_SIZE,
        train_num_samples=BATCH_SIZE * STEPS,
        warmup_steps=1,
        num_workers=len(os.sched_getaffinity(0)),
        num_checkpoints=1,
        log_every_steps=WARM_UP_STEPS,
        seed=seed,
    )


def _loader_seconds(spec: TrainSpec) -> float:
    side = reference_config(spec.model_arch)["vision_cfg"]["image_size"]
    with opened_data(spec, ALONE) as data:
        source = BatchSource(
            samples=data.source,
            arch=spec.model_arch,
            image_side=side,
            decode=spec.decode,
            storage_client=spec.storage_client,
            seed=spec.seed,
            batch_size=spec.batch_size,
            first_draw=0,
            steps=spec.steps,
            rank=0,
            world=1,
        )
        return _after_warm_up(time.monotonic() for _ in iterate_batches(source, spec.num_workers))


def _training_seconds(spec: TrainSpec) -> float:
    train_clip(spec)
    lines = Path(run_url(spec), "metrics.jsonl").read_text().splitlines()
    seconds = [BATCH_SIZE / float(json.loads(line)["samples_per_second"]) for line in lines]
    return mean(seconds[1:])


def _after_warm_up(moments: Iterable[float]) -> float:
    """Mean seconds between batches."""
    kept = list(moments)[WARM_UP_STEPS - 1 :]
    return (kept[-1] - kept[0]) / (len(kept) - 1)
