"""The forecast experiment's comparison, on results that are made up: what came true is told from what did not."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from benchmarks import forecast_experiment as experiment
from datascaler import storage
from datascaler.data.runs.run_folder import run_url
from datascaler.spec.train import TrainSpec
from tests.report.folders import leave_training_run

pytestmark = pytest.mark.slow
QUALITY = {"none-f1.0": 1.0, "random-f0.5": 1.05, "dfn-f0.5": 0.8}


def leave_ladder_of(folder: Path, is_product: bool, worse_at_the_end: float) -> list[TrainSpec]:
    """Runs whose error falls as a sum or a product of powers of width and samples; at the held-out point it may be
    another.
    """
    recipe = experiment.Recipe()
    base = experiment._spec(recipe, "pool", str(folder / "runs"))
    subset = f"{folder}/kept.npy"
    filters = [
        base,
        *(replace(base, method=name, fraction=Fraction(1, 2), subset_file=subset) for name in ("random", "dfn")),
    ]
    specs = [
        replace(each, width_mult=width, seed=seed)
        for width in recipe.width_mults
        for seed in recipe.seeds
        for each in filters
    ]
    noise = np.random.default_rng(0)
    for budget in (each for spec in specs for each in spec.budgets):
        width, samples = float(budget.width_mult), budget.train_num_samples
        by_width, by_samples = width**-0.3, QUALITY[budget.subset_name] * (samples / 16_000) ** -0.35
        error = 0.6 * by_width * by_samples if is_product else 0.25 * by_width + 0.3 * by_samples
        error += 0.1 + 0.006 * noise.standard_normal()
        is_last = (budget.width_mult, samples) == (max(recipe.width_mults), max(recipe.budgets))
        value = 1 - error - (worse_at_the_end if is_last else 0)
        url = leave_training_run(budget, 3.0)
        line = f'{{"key": "topics", "dataset": "topics", "metrics": {{"main_metric": {value}, "acc1": {value}}}}}\n'
        storage.publish_text(f"{url}/eval/eval_results.jsonl", line)
        storage.publish_json(f"{url}/eval/eval_summary.json", {"average": value, "scored": 1, "tasks": 1})
        assert url == run_url(budget)
    return specs


@pytest.mark.parametrize("is_product", [False, True])
@pytest.mark.parametrize(("worse", "came_true"), [(0.0, 1), (0.3, 0)])
def test_what_came_true_is_told_from_what_did_not(
    tmp_path: Path, is_product: bool, worse: float, came_true: int
) -> None:
    specs = leave_ladder_of(tmp_path, is_product, worse)
    found = experiment._compare(str(tmp_path), experiment.Recipe(), specs, dict.fromkeys(QUALITY, 0.5))
    assert found["came_true"] == came_true, found
    assert (found["best"], found["best_forecast"]) == ("dfn-f0.5", "dfn-f0.5")
    # Two seeds at eight of nine points, of three filters.
    assert found["runs_forecast_from"] == 48
    assert (tmp_path / "forecast.png").read_bytes().startswith(b"\x89PNG")
    log = (tmp_path / "log.md").read_text()
    assert "| dfn-f0.5 | 0.50 |" in log
    assert Path(found["page"]).stat().st_size > 1e6
