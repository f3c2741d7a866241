"""The whole line on drawn data, where the truth is known: make, filter, subset, train, evaluate, show."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from multiprocessing import active_children, get_context
from signal import SIG_UNBLOCK, SIGTERM, pthread_sigmask

import numpy as np
import torch

from datascaler import storage
from datascaler.data.pool.shard_list import read_frozen_shards
from datascaler.data.pool.uids import join_uid
from datascaler.data.runs.run_folder import RunSummary
from datascaler.data.select.score_source import RANDOM
from datascaler.data.select.select_subset import MadeSubset, select_subset
from datascaler.data.tables.score_table import read_table, table_url
from datascaler.demo.draw import CLASS_NAMES
from datascaler.demo.figures import PoolScores, publish_pictures
from datascaler.demo.make_data import DemoData, Recipe, make_data
from datascaler.evaluate.evaluate_clip import evaluate_model
from datascaler.evaluate.tasks import load_tasks
from datascaler.models.freed_memory import keep_freed_memory_on_cpu
from datascaler.report.make_report import make_report
from datascaler.score.score_pool import score_pool
from datascaler.spec.report import ReportSpec
from datascaler.spec.scales import DEMO
from datascaler.spec.score import ScoreSpec
from datascaler.spec.train import TrainSpec
from datascaler.stop import held_back
from datascaler.tools.child_processes import end_with_parent, start_resource_tracker
from datascaler.train.train_clip import train_clip

_WORKERS = 2


@dataclass(frozen=True, slots=True)
class DemoResult:
    filter_auc: float
    """Chance that a clean pair outscores a wrong one."""
    filter_precision: float
    """Clean share of the kept subset; of the pool it is 0.4."""
    accuracy_subset: float
    """Mean over seeds of the models trained on what the filter kept."""
    accuracy_random: float
    """The same for a random subset of equal size, at equal samples seen."""
    chance: float
    accuracies_subset: list[float]
    accuracies_random: list[float]
    pool_samples: int
    bad_samples: int
    kept_samples: int
    samples_seen: int
    """How many samples each model sees."""
    seconds: float
    pictures: list[str]
    report: str
    """The page of it all."""


def run_demo(output_dir: str, recipe: Recipe, say: Callable[[str], None] = lambda _: None) -> DemoResult:
    """Everything below `output_dir`, which may be any URL; what is done already is not done again."""
    started = time.monotonic()
    storage.check_writable(output_dir)
    scores_dir, runs = storage.join(output_dir, "scored"), storage.join(output_dir, "runs")

    say(f"[1/6] drawing {recipe.pool_samples:,} pairs (60% of them wrong) and {recipe.clean_samples:,} clean ones")
    data = make_data(output_dir, recipe)

    with two_workers() as workers:
        say("[2/6] training the filter on the clean pairs")
        filter_spec = _train_spec(recipe, data.clean, runs, recipe.filter_steps, recipe.train_seeds[0])
        filter_run = workers.submit(_train, filter_spec).result()

        say("[3/6] scoring the pool with it")
        score_spec = ScoreSpec(
            data_dir=data.pool, output_dir=scores_dir, method="dfn", model=None, pretrained=filter_run.run
        )
        scored = workers.submit(score_pool, score_spec).result()
        pool_scores = _scores_and_truth(scores_dir, scored.tables, data)

        say(f"[4/6] keeping the best {float(recipe.fraction):.0%}, and as many at random")
        subsets = {
            method: select_subset(scores_dir, fraction=recipe.fraction, method=method, score_name=scored.score_id)
            for method in ("dfn", RANDOM)
        }

        accuracies: dict[str, list[float]] = {"dfn": [], RANDOM: []}
        for number, seed in enumerate(recipe.train_seeds, start=1):
            say(f"[5/6] training one model on each, side by side, {number} of {len(recipe.train_seeds)}")
            specs = {
                method: _train_spec(recipe, data.pool, runs, recipe.train_steps, seed, method, subset)
                for method, subset in subsets.items()
            }
            measured = {method: workers.submit(_train_and_evaluate, spec, data) for method, spec in specs.items()}
            for method, accuracy in measured.items():
                accuracies[method].append(accuracy.result())

    say("[6/6] drawing the pictures and the page")
    quality = pool_scores.quality(subsets["dfn"].recipe["threshold"])
    page = make_report(ReportSpec(runs=(output_dir,), output=storage.join(output_dir, "report.html"))).page
    arms = {"filtered 40%": accuracies["dfn"], "random 40%": accuracies[RANDOM]}
    pictures = publish_pictures(output_dir, pool_scores, subsets["dfn"].recipe["threshold"], recipe, arms)
    return DemoResult(
        filter_auc=quality.auc,
        filter_precision=quality.precision,
        accuracy_subset=float(np.mean(accuracies["dfn"])),
        accuracy_random=float(np.mean(accuracies[RANDOM])),
        chance=1 / len(CLASS_NAMES),
        accuracies_subset=accuracies["dfn"],
        accuracies_random=accuracies[RANDOM],
        pool_samples=scored.rows,
        bad_samples=scored.rows - scored.ok,
        kept_samples=subsets["dfn"].recipe["kept_rows"],
        samples_seen=recipe.batch_size * recipe.train_steps,
        seconds=round(time.monotonic() - started, 1),
        pictures=pictures,
        report=page,
    )


@contextmanager
def two_workers() -> Iterator[ProcessPoolExecutor]:
    """Processes that end with this one, and stop when it is told to: one that trains saves its step."""
    start_resource_tracker()  # else the first process does, which lets the signals through
    with ProcessPoolExecutor(_WORKERS, get_context("spawn"), initializer=_begin_worker) as workers:
        try:
            with held_back():
                for _ in range(_WORKERS):
                    workers.submit(int)  # starts one of them
            yield workers
        except BaseException:
            for process in active_children():
                process.terminate()
            raise


def _begin_worker() -> None:
    # Small models gain little from more threads, and lose much where other work shares the cores.
    torch.set_num_threads(1)
    keep_freed_memory_on_cpu()
    end_with_parent()
    # Ctrl-C stays blocked: it is the process above that is stopped by it.
    pthread_sigmask(SIG_UNBLOCK, {SIGTERM})


def _train_spec(
    recipe: Recipe,
    data_dir: str,
    runs: str,
    steps: int,
    seed: int,
    method: str = "none",
    subset: MadeSubset | None = None,
) -> TrainSpec:
    return TrainSpec(
        data_dir=data_dir,
        output_dir=runs,
        scale=DEMO,
        method=method,
        fraction=recipe.fraction if subset else Fraction(1),
        subset_file=subset.files[0] if subset else None,
        model_arch=recipe.arch,
        train_num_samples=recipe.batch_size * steps,
        # Pairs are broken on purpose, see pairs.SHARES.
        max_substituted=0.2,
        batch_size=recipe.batch_size,
        lr=recipe.lr,
        weight_decay=recipe.weight_decay,
        warmup_steps=recipe.warmup_steps,
        seed=seed,
        num_workers=0,
        num_checkpoints=1,
    )


def _train(spec: TrainSpec) -> RunSummary:
    summary = train_clip(spec, "datascaler demo")
    assert summary is not None, "a demo's training is one process"
    return summary


def _train_and_evaluate(spec: TrainSpec, data: DemoData) -> float:
    run = _train(spec).run
    tasks, output_dir = load_tasks(data.tasks), storage.join(run, "eval")
    scores = evaluate_model(None, run, output_dir=output_dir, data_dir=data.evalsets, tasks=tasks, num_workers=1)
    return float(scores["average"])


def _scores_and_truth(scores_dir: str, tables: str, data: DemoData) -> PoolScores:
    """The filter's scores beside what the pairs really are, in pool order."""
    scores, pairs = [], []
    for shard in read_frozen_shards(scores_dir):
        table, _ = read_table(table_url(tables, shard), ["uid_high", "uid_low", "score"])
        for high, low, value in zip(*(table[name].to_pylist() for name in table.column_names), strict=True):
            scores.append(np.nan if value is None else value)
            pairs.append(data.truth[join_uid(high, low)])
    return PoolScores(np.array(scores), pairs)
