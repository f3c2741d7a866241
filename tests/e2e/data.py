"""What these tests' runs work on: the demo's pool, made small, and a filter trained for a few steps, all in S3."""

from dataclasses import dataclass

from datascaler import storage
from datascaler.data.runs.run_folder import find_runs
from datascaler.demo.make_data import Recipe, make_data
from tests.e2e.launcher import Launcher

RECIPE = Recipe(pool_samples=240, clean_samples=96, eval_per_class=1, samples_per_shard=20)


@dataclass(frozen=True, slots=True)
class Data:
    url: str
    pool: str
    """Twelve shards."""
    clean: str
    evalsets: str
    tasks: str
    filter_run: str


def make_test_data(url: str, launcher: Launcher) -> Data:
    made = make_data(url, RECIPE)
    filters = storage.join(url, "filter")
    small = ["--model-arch", RECIPE.arch, "--batch-size", "48", "--train-num-samples", "480", "--warmup", "2"]
    launcher("train", "--data-dir", made.clean, "--output-dir", filters, "--scale", "small", *small, "--num-workers=0")
    [filter_run] = find_runs(filters)
    return Data(url, made.pool, made.clean, made.evalsets, made.tasks, filter_run)
