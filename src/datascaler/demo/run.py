"""The whole line on drawn data, where the truth is known: make, filter, subset, train, evaluate, show."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from datascaler import storage
from datascaler.data.make_subset import RANDOM, MadeSubset, make_subset
from datascaler.data.run_folder import RunSummary
from datascaler.data.score_table import read_table, table_url
from datascaler.data.shard_list import read_frozen_shards
from datascaler.data.uids import join_uid
from datascaler.demo.draw import CLASS_NAMES
from datascaler.demo.make_data import DemoData, make_data
from datascaler.demo.pictures import PoolScores, publish_pictures
from datascaler.demo.recipe import Recipe
from datascaler.evaluate.models import evaluate_model
from datascaler.evaluate.tasks import load_tasks
from datascaler.score.run import score
from datascaler.spec.score import ScoreSpec
from datascaler.spec.train import TrainSpec
from datascaler.train.run import train


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
    """By each model."""
    seconds: float
    pictures: list[str]


def run_demo(output_dir: str, recipe: Recipe, say: Callable[[str], None] = lambda _: None) -> DemoResult:
    """Everything below `output_dir`, which may be any URL; what is done already is not done again."""
    started = time.monotonic()
    storage.check_writable(output_dir)
    scores_dir, runs = storage.join(output_dir, "scored"), storage.join(output_dir, "runs")

    say(f"[1/6] drawing {recipe.pool_samples:,} pairs (60% of them wrong) and {recipe.clean_samples:,} clean ones")
    data = make_data(output_dir, recipe)

    say("[2/6] training the filter on the clean pairs")
    filter_run = _train(recipe, data.clean, runs, seed=recipe.train_seeds[0])

    say("[3/6] scoring the pool with it")
    spec = ScoreSpec(
        data_dir=data.pool, output_dir=scores_dir, method="dfn", model=None, pretrained=filter_run.run, num_workers=2
    )
    scored = score(spec)
    pool_scores = _scores_and_truth(scores_dir, scored.tables, data)

    say(f"[4/6] keeping the best {float(recipe.fraction):.0%}, and as many at random")
    best = make_subset(scores_dir, method="dfn", fraction=recipe.fraction, score_name=scored.score_id)
    chance = make_subset(scores_dir, method=RANDOM, fraction=recipe.fraction, score_name=scored.score_id)

    accuracies: dict[str, list[float]] = {"dfn": [], RANDOM: []}
    for number, seed in enumerate(recipe.train_seeds, start=1):
        say(f"[5/6] training on each, {number} of {len(recipe.train_seeds)}")
        for subset, method in ((best, "dfn"), (chance, RANDOM)):
            run = _train(recipe, data.pool, runs, seed=seed, subset=subset, method=method)
            accuracies[method].append(_accuracy(run, data))

    say("[6/6] drawing the pictures")
    quality = pool_scores.quality(best.recipe["threshold"])
    arms = {"filtered 40%": accuracies["dfn"], "random 40%": accuracies[RANDOM]}
    pictures = publish_pictures(output_dir, pool_scores, best.recipe["threshold"], recipe, arms)
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
        kept_samples=best.recipe["kept_rows"],
        samples_seen=recipe.batch_size * recipe.train_steps,
        seconds=round(time.monotonic() - started, 1),
        pictures=pictures,
    )


def _train(
    recipe: Recipe, data_dir: str, runs: str, *, seed: int, subset: MadeSubset | None = None, method: str = "none"
) -> RunSummary:
    spec = TrainSpec(
        data_dir=data_dir,
        output_dir=runs,
        scale="demo",
        method=method,
        fraction=recipe.fraction if subset else Fraction(1),
        subset_file=subset.files[0] if subset else None,
        model_arch=recipe.arch,
        train_num_samples=recipe.batch_size * recipe.train_steps,
        batch_size=recipe.batch_size,
        lr=recipe.lr,
        weight_decay=recipe.weight_decay,
        warmup_steps=recipe.warmup_steps,
        seed=seed,
        num_workers=0,
        num_checkpoints=1,
    )
    summary = train(spec, "datascaler demo")
    assert summary is not None, "the demo trains in one process"
    return summary


def _accuracy(run: RunSummary, data: DemoData) -> float:
    results = evaluate_model(
        None,
        run.run,
        data_dir=data.evalsets,
        output_dir=storage.join(run.run, "eval"),
        tasks=load_tasks(data.tasks),
        num_workers=2,
    )
    return float(results["average"])


def _scores_and_truth(scores_dir: str, tables: str, data: DemoData) -> PoolScores:
    """The filter's scores beside what the pairs really are, in pool order."""
    scores, pairs = [], []
    for shard in read_frozen_shards(scores_dir):
        table, _ = read_table(table_url(tables, shard), ["uid_high", "uid_low", "score"])
        for high, low, value in zip(*(table[name].to_pylist() for name in table.column_names), strict=True):
            scores.append(np.nan if value is None else value)
            pairs.append(data.truth[join_uid(high, low)])
    return PoolScores(np.array(scores), pairs)
