"""An array that scores a pool, one task of which is cancelled in the midst of it and submitted again."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.slurm.client import Slurm, held_still
from tests.train.runs import make_pool

pytestmark = pytest.mark.slurm
_SHARDS, _TASKS, _LOST = 128, 4, 2
_METHOD = ("--method", "basic", "--no-language")


def test_every_shard_is_scored_once(slurm: Slurm, tmp_path: Path, figures: dict[str, Any]) -> None:
    pool = make_pool(str(tmp_path / "pool"), samples=_SHARDS * 8, samples_per_shard=8)
    flags = ("--data-dir", pool, "--output-dir", str(tmp_path / "out"), *_METHOD, "--json")

    def tables() -> dict[str, tuple[int, int]]:
        """Each table, and what changes when it is written again."""
        files = (tmp_path / "out" / "scores").rglob("*.parquet")
        return {file.name: (file.stat().st_ino, file.stat().st_mtime_ns) for file in files}

    def of_lost(names: dict[str, Any]) -> set[str]:
        return {name for name in names if int(name.partition(".")[0]) % _TASKS == _LOST}

    array = slurm.submit("score", *flags)
    lost = f"{array}_{_LOST}"
    pids = slurm.processes(lost, "SLURM_ARRAY_TASK_ID", 1)
    slurm.until(lambda: of_lost(tables()), "table of the task to be cancelled")
    with held_still(pids):
        slurm.run("scancel", lost)
        slurm.until(lambda: slurm.look(lost)["JobState"] != "RUNNING", "cancelling")
    slurm.wait(array)
    assert sorted(slurm.tasks(array)) == ["CANCELLED", *["COMPLETED"] * (_TASKS - 1)]
    assert slurm.look(lost)["Restarts"] == "0"
    before = tables()
    kept = len(of_lost(before))
    assert 0 < kept < _SHARDS // _TASKS
    assert len(before) == _SHARDS - _SHARDS // _TASKS + kept

    # An array of one task can't know which of how many it is.
    refused = slurm.submit("score", *flags, "--count", str(_TASKS), job=[f"--array={_LOST}"])
    again = slurm.submit("score", *flags, f"--index={_LOST}", f"--count={_TASKS}", job=[f"--array={_LOST}"])
    slurm.wait(refused, again)
    assert slurm.look(refused)["ExitCode"] == "2:0"
    assert "give both --index and --count" in slurm.log(f"{refused}_{_LOST}")
    assert set(slurm.tasks(again)) == {"COMPLETED"}
    summary = json.loads(slurm.log(f"{again}_{_LOST}")[slurm.log(f"{again}_{_LOST}").index("{") :])
    assert (summary["shards"], summary["skipped"]) == (_SHARDS // _TASKS, kept)
    after = tables()
    figures["score_tables"] = len(after)
    figures["score_repeated"] = sum(after[name] != file for name, file in before.items())
    assert (len(after), figures["score_repeated"]) == (_SHARDS, 0)
