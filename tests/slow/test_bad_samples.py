"""A pool of 10,000 samples, half of them damaged in every way we know, scores to its end; every row has its reason."""

import json
import math
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from datascaler.data.pool.samples import OK
from datascaler.data.tables.score_table import read_table
from tests.slow.bad_pool import make_bad_pool
from tests.tiny_clip import save_local_dir

SAMPLES, SHARDS = 10_000, 20
DAMAGED_SHARD_ROWS = 11
MOST_MEMORY_GB = 2.5


@pytest.mark.slow
def test_every_row_is_accounted_for(tmp_path: Path) -> None:
    pool = make_bad_pool(f"{tmp_path}/pool", SAMPLES, SHARDS)
    model = save_local_dir(f"{tmp_path}/tiny")
    command = [sys.executable, "-m", "datascaler", "score", "--data-dir", pool.url, "--output-dir", f"{tmp_path}/out"]
    command += ["--method", "clip", "--model", model, "--num-workers", "2", "--json"]
    with (tmp_path / "stdout").open("wb") as out, (tmp_path / "stderr").open("wb") as err:
        process = subprocess.Popen(command, stdout=out, stderr=err, env={**os.environ, "OMP_NUM_THREADS": "1"})
        _, state, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(state)
    assert process.returncode == 0, (tmp_path / "stderr").read_text()[-4000:]

    summary = json.loads((tmp_path / "stdout").read_text())
    assert summary["shards"] == SHARDS + 1
    assert summary["rows"] == SAMPLES + DAMAGED_SHARD_ROWS
    assert summary["ok"] + sum(summary["bad"].values()) == summary["rows"]
    assert summary["unreadable"] == []

    found: Counter[str] = Counter()
    for shard, expected in pool.expected.items():
        table, footer = read_table(f"{summary['tables']}/{shard}.parquet", ["status", "score"])
        states, scores = table["status"].to_pylist(), table["score"].to_pylist()
        assert len(states) == len(expected) == footer.rows, shard
        wrong = [
            f"{shard} row {row}: {state!r}, expected {' or '.join(sorted(right))!r}"
            for row, (state, right) in enumerate(zip(states, expected, strict=True))
            if state not in right
        ]
        assert wrong == []
        assert all(math.isfinite(score) == (state == OK) for state, score in zip(states, scores, strict=True))
        found.update(states)
    assert found.pop(OK) == summary["ok"]
    assert found == summary["bad"]
    memory_gb = usage.ru_maxrss / 1e6  # kilobytes
    assert memory_gb < MOST_MEMORY_GB
