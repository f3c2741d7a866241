"""Whether the best learning rate of a narrow CLIP is that of one four times as wide: under muP, and not without it.

A grid of learning rates by powers of two, at three widths and from two seeds, under the standard parametrisation and
under muP; then under muP over a quarter of the samples, with tau held by four times the weight decay. All of them are
points of `datascaler sweep`: what is complete stays, so the same command goes on where it was stopped. The last line is
one JSON object; a missed limit ends with exit code 1. The JSON, with every loss, and the picture lie in the folder too.

    python -m benchmarks.lr_transfer [--folder lr-transfer] [--steps 200] [--processes 2] [--quick]
"""

import argparse
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from math import log2
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from benchmarks.lr_transfer_task import write_task
from benchmarks.processor import has_bf16_units
from benchmarks.verdict import verdict
from datascaler import storage
from datascaler.data.runs.sweep_results import SweepResult, collect_sweep
from datascaler.spec.sweep import SweepSpec
from datascaler.spec.train import datacomp_recipe
from datascaler.sweep.sweep_runs import sweep_runs
from datascaler.tools.child_processes import end_with_parent

ARCH, BASE = "ViT-Micro-12-48", 2
"""Its width is 64; the base, muP's too, is 128 with heads of 32."""
WIDTHS = (2, 4, 8)
LOG2_LRS = (-12, -11, -10, -9, -8)
BATCH_SIZE, SHORTER = 64, 4
DECAY = 2.0
"""It makes tau 2.6 at 2^-10 and 200 steps; that of DataComp's smallest scale is 3.2."""
STOP_ABOVE = 0.3
KINDS = ("standard", "mup", "mup_shorter")
AT_MOST = {"mup_shift": 1.0, "mup_shorter_shift": 1.0, "mup_loss_excess": 1.0, "mup_shorter_loss_excess": 1.0}
AT_LEAST = {"standard_shift": 1.0}


@dataclass(frozen=True)
class Size:
    """How much of it is done."""

    steps: int
    widths: Sequence[int]
    log2_lrs: Sequence[int]
    seeds: Sequence[int]
    noise: float
    wrong: float


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", default="lr-transfer", help="Where runs, JSON and picture go. [lr-transfer]")
    parser.add_argument("--steps", type=int, default=200, help="Of the longer runs. [200]")
    parser.add_argument("--noise", type=float, default=1.0, help="Of the images; more makes the task harder. [1]")
    parser.add_argument("--wrong", type=float, default=0.3, help="Part of the captions' words that mean nothing. [0.3]")
    cores = len(os.sched_getaffinity(0))
    parser.add_argument("--processes", type=int, default=cores, help=f"Of one thread each. [the cores: {cores}]")
    parser.add_argument("--quick", action="store_true", help="Two narrow widths, three rates, few steps: does it work?")
    arguments = parser.parse_args()
    size = Size(arguments.steps, WIDTHS, LOG2_LRS, (0, 1), arguments.noise, arguments.wrong)
    if arguments.quick:
        size = Size(min(arguments.steps, 12), (1, 2), (-11, -10, -9), (0, 1), arguments.noise, arguments.wrong)
    folder = Path(arguments.folder).absolute()
    started = time.monotonic()
    data_dir = write_task(folder / "pool", size.steps * BATCH_SIZE, size.noise, size.wrong)
    sweeps = {(kind, width): sweep_of(kind, width, size, data_dir, folder) for kind in KINDS for width in size.widths}
    train_all(list(sweeps.values()), arguments.processes)
    tables = {place: collect_sweep(spec.points) for place, spec in sweeps.items()}
    result = judged(tables)
    from benchmarks.lr_transfer_picture import draw  # matplotlib, which only this needs

    storage.publish_bytes(str(folder / "lr_transfer.png"), draw(tables, KINDS))
    minutes = round((time.monotonic() - started) / 60, 1)
    result |= {"minutes": minutes, "processes": arguments.processes, "steps": size.steps, "bf16": has_bf16_units()}
    storage.publish_record(str(folder / "lr_transfer.json"), {**result, "tables": list(rows_of(tables))})
    return verdict(result, at_least=AT_LEAST, at_most=AT_MOST)


def sweep_of(kind: str, width: int, size: Size, data_dir: str, folder: Path) -> SweepSpec:
    """The grid of a parametrisation at a width."""
    steps = size.steps // (SHORTER if kind == "mup_shorter" else 1)
    own = datacomp_recipe("debug", data_dir=data_dir, output_dir=str(folder))
    # What --hold-tau makes DECAY of, for the longer runs.
    at_scale = DECAY * (own.batch_size / BATCH_SIZE) * (size.steps * BATCH_SIZE / own.train_num_samples)
    base = datacomp_recipe(
        "debug",
        data_dir=data_dir,
        output_dir=str(folder / "runs"),
        model_arch=ARCH,
        width_mult=Fraction(width),
        min_width_mult=Fraction(size.widths[0]),
        use_mup=kind != "standard",
        train_num_samples=steps * BATCH_SIZE,
        batch_size=BATCH_SIZE,
        warmup_steps=max(1, steps // 10),
        weight_decay=at_scale,
        hold_tau=True,
        eps=1e-8,
        precision="bf16" if has_bf16_units() else "fp32",
        num_workers=0,
        num_checkpoints=1,
        log_every_steps=1,
    )
    return SweepSpec(
        base=base, lrs=tuple(2.0**place for place in size.log2_lrs), seeds=tuple(size.seeds), stop_above=STOP_ABOVE
    )


def train_all(sweeps: Sequence[SweepSpec], processes: int) -> None:
    """Train what is not complete, a grid of one seed at a time in each process; the longest first."""
    lines = [(spec, seed) for spec in sweeps for seed in spec.seeds]
    lines.sort(key=lambda line: line[0].base.train_num_samples * line[0].base.width_mult ** 2, reverse=True)
    with ProcessPoolExecutor(processes, get_context("spawn"), end_with_parent) as pool:
        for number, line in enumerate(pool.map(_train_line, lines), start=1):
            sys.stderr.write(f"{number} of {len(lines)} grids are complete: {line}\n")


def _train_line(line: tuple[SweepSpec, int]) -> str:
    torch.set_num_threads(1)
    spec, seed = line
    points = [point for point in spec.points if point.seed == seed]
    sweep_runs(points, stop_above=spec.stop_above)
    base = spec.base
    return f"{'muP' if base.use_mup else 'standard'}, width {base.width_mult}, {base.steps} steps, seed {seed}"


Tables = Mapping[tuple[str, int], SweepResult]


def judged(tables: Tables) -> dict[str, Any]:
    """How far optima move with width, in powers of two, and what the narrow model's rate costs the wider ones."""
    found: dict[str, Any] = {}
    for kind in dict.fromkeys(kind for kind, _ in tables):
        results = {width: result for (of, width), result in tables.items() if of == kind}
        places = {width: best_place(result) for width, result in results.items()}
        base = min(results)
        found[f"{kind}_shift"] = round(max(abs(place - places[base]) for place in places.values()), 3)
        found[f"{kind}_log2_lr"] = {str(width): round(place, 3) for width, place in places.items()}
        found[f"{kind}_loss_excess"] = round(
            max(loss_excess(result, places[base]) for width, result in results.items() if width != base), 3
        )
    return found


def best_place(result: SweepResult) -> float:
    """log2 of the optimum; of the best rate where that is at an end of the grid, beyond which the optimum may lie."""
    return log2(result.optimum.lr if result.optimum else result.best.lr)


def loss_excess(result: SweepResult, place: float) -> float:
    """By how much the loss at the grid's rate that is nearest to `place` is above the lowest, as a part of what is
    allowed: 1% or two standard deviations of a seed, whichever is more. Where that rate was given up it is more than
    what a point is given up for.
    """
    best = result.settings[0]
    rate = min((point.lr for point in result.points), key=lambda lr: abs(log2(lr) - place))
    there = next((each for each in result.settings if each.setting.lr == rate), None)
    deviations = [each.deviation for each in (best, there) if each and each.deviation is not None]
    excess = there.mean - best.mean if there else STOP_ABOVE * best.mean
    return excess / max(0.01 * best.mean, 2 * max(deviations, default=0.0))


def rows_of(tables: Tables) -> Iterator[dict[str, Any]]:
    """A row a width, rate and seed: every loss that was measured, or why there is none."""
    for (kind, width), result in tables.items():
        for point in sorted(result.points, key=lambda point: (point.lr, point.seed)):
            row = {"kind": kind, "width_mult": width, "log2_lr": log2(point.lr), "seed": point.seed}
            yield row | {"loss": point.train_loss, "ended": point.ended, "weight_decay": point.weight_decay}


if __name__ == "__main__":
    sys.exit(main())
