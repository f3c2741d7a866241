"""The three scripts, from a pool on a real S3 server to results, with the flags of the first version."""

import json
import os
import subprocess
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from datascaler import storage
from datascaler.data.make.write_evalset import write_classification_set
from datascaler.data.runs.run_folder import find_runs, finished, read_run
from datascaler.data.subset.subset import read_recipe, read_subset
from datascaler.data.tables.score_table import read_table
from datascaler.demo.draw import CLASS_NAMES
from datascaler.demo.pairs import draw_evalset
from datascaler.train.train_clip import train_clip
from tests.train.runs import ARCH, make_pool, tiny_spec

SCRIPTS = Path(__file__).parent.parent.parent / "scripts"
SAMPLES, KEPT = 64, 25

TASKS = """
shapes:
  name: Drawn shapes
  size: {size}
  main_metric: acc1
  num_classes: {classes}
"""


def run(name: str, *flags: str) -> str:
    """A script's stdout."""
    done = subprocess.run(
        ["bash", str(SCRIPTS / name), *flags],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def both_spellings(flags: Sequence[str]) -> list[str]:
    """Every second `--flag=value` as `--flag value`."""
    mixed: list[str] = []
    for number, flag in enumerate(flags):
        mixed += flag.split("=", 1) if number % 2 else [flag]
    return mixed


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_from_a_pool_to_results(s3_url: str) -> None:
    pool, output, runs = make_pool(f"{s3_url}/pool", SAMPLES), f"{s3_url}/out", f"{s3_url}/runs"
    scorer = train_clip(tiny_spec(pool, f"{s3_url}/scorer", num_checkpoints=1))
    assert scorer is not None

    # ---- generate_pools.sh
    for method, fraction in (("CLIP", "0.4"), ("DFN", "1.0"), ("DFN", "0.4"), ("TMARS", "0.4")):
        flags = [f"--data-dir={pool}", f"--output-dir={output}", "--scale=medium", f"--method={method}"]
        run("generate_pools.sh", *both_spellings([*flags, f"--fraction={fraction}"]), f"--pretrained={scorer.run}")
        subset = f"{output}/subsets/{method.lower()}-f{fraction}.pkl"
        assert storage.exists(subset) == (fraction != "1.0")
    subset = f"{output}/subsets/clip-f0.4.pkl"
    kept = read_subset(subset)
    assert len(kept) == KEPT
    assert np.array_equal(kept, read_subset(subset.replace(".pkl", ".npy")))
    recipe = read_recipe(subset)
    assert recipe is not None
    assert (recipe["method"], recipe["rows"], recipe["kept_rows"]) == ("clip", SAMPLES, KEPT)

    (masked,) = [url for url in storage.list_folders(f"{output}/scores") if storage.basename(url).startswith("tmars-")]
    for info in storage.list_files(masked, ".parquet", recursive=True):
        rows = read_table(info.url, ["status", "score", "boxes", "masked_area"])[0].to_pylist()
        assert all(row["status"] == "ok" and -1 <= row["score"] <= 1 for row in rows)
        assert all((row["masked_area"] > 0) == bool(row["boxes"]) for row in rows)

    # ---- train_with_grid_search.sh
    flags = ["--nproc-per-node=1", f"--data-dir={pool}", f"--output-dir={runs}", "--width-mult=1.0"]
    flags += ["--min-width-mult=0.5", "--scale=medium", "--train-num-samples=4_8", "--use-mup=true"]
    flags += [f"--subset-file-path={subset}", "--method=clip", "--fraction=0.4", f"--model-arch={ARCH}"]
    small = ["--lrs=1e-3,4e-3", "--batch-size=12", "--num-workers=0"]
    table = run("train_with_grid_search.sh", *both_spellings([*flags, *small])).splitlines()
    assert len(table) == 3
    assert table[1].startswith("* ")
    found = find_runs(runs)
    summaries = [finished(url) for url in found]
    assert len(found) == 2
    for url, summary in zip(found, summaries, strict=True):
        spec = read_run(url)
        assert (spec.use_mup, spec.min_width_mult, spec.fraction) == (True, Fraction(1, 2), Fraction(2, 5))
        assert summary is not None
        assert summary.samples_seen == 48
    best = min((summary for summary in summaries if summary), key=lambda summary: summary.train_loss)
    assert best.run in table[1]
    # The subset's own plan was used: nothing was indexed.
    assert storage.list_files(f"{runs}/plans") == []

    # ---- run_eval.sh
    images = [(image, "jpg", label) for image, label in draw_evalset(2, seed=0)]
    write_classification_set(f"{s3_url}/sets/wds_shapes_test", images, CLASS_NAMES)
    tasks = TASKS.format(size=len(images), classes=len(CLASS_NAMES))
    storage.publish_text(f"{s3_url}/tasks/tasklist.yml", tasks)
    flags = [f"--train-dir={runs}", f"--task-dir={s3_url}/tasks", f"--data-dir={s3_url}/sets", "--width-mult=1.0"]
    flags += ["--min-width-mult=0.5", "--use-mup=true", "--scale=medium", "--fraction=0.4", "--method=clip"]
    table = run("run_eval.sh", *both_spellings([*flags, f"--model-arch={ARCH}"])).splitlines()
    assert len(table) == 3
    assert table[1].startswith(f"* {best.run} ")
    for url in found:
        (line,) = storage.read_text(f"{url}/eval/eval_results.jsonl").splitlines()
        result = json.loads(line)
        assert (result["key"], result["dataset"]) == ("shapes", "Drawn shapes")
        assert 0 <= result["metrics"]["acc1"] <= 1
