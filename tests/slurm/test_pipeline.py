"""The whole line by --dependency: an array scores, one job selects, two nodes train, an array evaluates."""

import json
from pathlib import Path
from typing import Any

import pytest

from datascaler.data.make.write_evalset import write_classification_set
from datascaler.data.runs.run_folder import find_runs
from datascaler.demo.draw import CLASS_NAMES
from datascaler.demo.pairs import draw_evalset
from tests.slurm.client import Slurm
from tests.train.runs import make_pool, tiny_spec

pytestmark = pytest.mark.slurm
_TASKS = ("shapes", "signs", "tiles", "toys")
_STEPS = ("score", "subset", "train", "eval")
_ROW = "{name}:\n  name: {name}\n  size: {size}\n  main_metric: acc1\n  num_classes: {classes}\n"


def write_sets(folder: Path) -> None:
    """Evaluation sets and their list, a task for each job of the array."""
    rows = ""
    for seed, name in enumerate(_TASKS):
        images = [(image, "jpg", label) for image, label in draw_evalset(1, seed=seed)]
        write_classification_set(str(folder / f"wds_{name}_test"), images, CLASS_NAMES)
        rows += _ROW.format(name=name, size=len(images), classes=len(CLASS_NAMES))
    (folder / "tasklist.yml").write_text(rows)


def test_each_step_starts_when_the_one_before_is_done(slurm: Slurm, tmp_path: Path, figures: dict[str, Any]) -> None:
    pool, sets, output = make_pool(str(tmp_path / "pool"), samples=48), tmp_path / "sets", tmp_path / "out"
    write_sets(sets)
    words = tiny_spec(pool, str(output), num_checkpoints=1).arguments()
    model = " ".join(words[words.index("--model-arch") :])
    said = slurm.run(
        "scripts/slurm/pipeline",
        *(f"--data-dir={pool}", f"--output-dir={output}", f"--eval-data-dir={sets}"),
        *("--method=basic", "--fraction=0.5", "--scale=debug", f"--count={len(_TASKS)}"),
        *("--score=--no-language", "--subset=--formats npy,pkl", f"--train={model}", "--train-job=--nodes=2"),
        f"--eval=--task-dir {sets} --batch-size 32 --num-workers 1",
    )
    jobs = dict(line.split() for line in said.splitlines())
    assert tuple(jobs) == _STEPS
    slurm.wait(*jobs.values())
    for step, job in jobs.items():
        assert set(slurm.tasks(job)) == {"COMPLETED"}, (step, slurm.said())
        assert len(slurm.tasks(job)) == (len(_TASKS) if step in ("score", "eval") else 1)
    (run,) = find_runs(str(output / "runs"))
    results = [json.loads(line) for line in (Path(run) / "eval" / "eval_results.jsonl").read_text().splitlines()]
    assert (Path(run) / "eval" / "eval_summary.json").exists()
    figures["eval_complete"] = sorted(result["key"] for result in results) == sorted(_TASKS)
    assert figures["eval_complete"]


def test_after_a_step_that_failed_nothing_starts(slurm: Slurm, tmp_path: Path) -> None:
    said = slurm.run(
        "scripts/slurm/pipeline",
        *(f"--data-dir={tmp_path}/nothing", f"--output-dir={tmp_path}/out", f"--eval-data-dir={tmp_path}/sets"),
        *("--method=basic", "--fraction=0.5", "--scale=debug", "--count=1", "--score=--no-language"),
    )
    jobs = dict(line.split() for line in said.splitlines())
    slurm.wait(*jobs.values())
    assert [slurm.look(job)["JobState"] for job in jobs.values()] == ["FAILED", *["CANCELLED"] * (len(_STEPS) - 1)]
    assert not (tmp_path / "out" / "runs").exists()
