"""Eight workers over one pool on S3, each killed three times and more: the tables are those of one undisturbed run."""

import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from datascaler import storage
from datascaler.data.pool.samples import OK
from datascaler.data.tables.score_table import Footer, read_table
from datascaler.data.tables.scoring_progress import find_score_runs
from tests.data.tars import members_of, picture, shard_of
from tests.tiny_clip import save_local_dir

WORKERS, SHARDS, SAMPLES = 8, 96, 60
KILLS = 3
OTHER_COUNTS = (3, 5)
"""What some restarts take in place of WORKERS."""
MOST_KILLS = 6
"""A worker that was never caught at work is killed again so often, then let be."""
START_SECONDS = 240
COLUMNS = ["uid_high", "uid_low", "key", "offset", "length", "status", "score"]


@dataclass
class Kills:
    before_work: int = 0
    at_work: int = 0
    """After this start's first table, with more to do."""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_workers_leave_the_tables_of_one_run(tmp_path: Path, s3_url: str) -> None:
    pool, out, whole = f"{s3_url}/pool", f"{s3_url}/out", f"{s3_url}/whole"
    for shard in range(SHARDS):
        rows = [members_of(shard * SAMPLES + row) for row in range(SAMPLES)]
        rows[shard % SAMPLES]["png"] = picture(shard)[:60]  # a bad row in each
        storage.publish_bytes(f"{pool}/{shard:08d}.tar", shard_of(rows))
    model = save_local_dir(f"{tmp_path}/tiny")
    common = ["--data-dir", pool, "--method", "clip", "--model", model, "--batch-size", "8", "--num-workers", "1"]

    undisturbed = _start([*common, "--output-dir", whole], tmp_path / "whole.log")
    assert undisturbed.wait() == 0, (tmp_path / "whole.log").read_text()[-4000:]

    with ThreadPoolExecutor(WORKERS) as executor:
        jobs = [
            executor.submit(_work_and_die, [*common, "--output-dir", out], worker, f"{out}/scores", tmp_path)
            for worker in range(WORKERS)
        ]
        kills = [job.result() for job in jobs]

    assert all(each.before_work + each.at_work >= KILLS for each in kills)
    assert sum(each.at_work for each in kills) >= WORKERS, kills
    expected, got = _tables(whole), _tables(out)
    assert len(expected) == SHARDS
    assert got.keys() == expected.keys()
    for name in expected:
        assert got[name] == expected[name], name
    (run,) = find_score_runs(out)
    assert (run.done, run.missing, run.rows) == (SHARDS, 0, SHARDS * SAMPLES)
    assert run.ok == SHARDS * (SAMPLES - 1)
    # Nothing half done is left under any name.
    left = [info.url for info in storage.list_files(f"{out}/scores", recursive=True)]
    assert len(left) == SHARDS


def _work_and_die(arguments: list[str], worker: int, scores: str, folder: Path) -> Kills:
    """Start a worker and kill it, again and again; at last let it do what is left of its part."""
    draw = random.Random(worker)
    kills = Kills()
    log = folder / f"{worker}.log"
    number = 0
    while kills.before_work + kills.at_work < KILLS or (kills.at_work == 0 and number < MOST_KILLS):
        count = draw.choice(OTHER_COUNTS) if number and draw.random() < 0.3 else WORKERS
        part = range(worker % count, SHARDS, count)
        process = _start([*arguments, "--index", str(worker % count), "--count", str(count)], log)
        there = _done(scores, part)
        wants_work = number % 2 == 0
        # A busy machine may take minutes to load torch eight times: a kill at work waits for work, not for a time.
        deadline = time.monotonic() + (START_SECONDS if wants_work else draw.uniform(0.2, 6))
        while time.monotonic() < deadline and process.poll() is None:
            if wants_work and _done(scores, part) - there:
                time.sleep(draw.uniform(0, 0.3))
                break
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        if process.wait() == -signal.SIGKILL:
            if _done(scores, part) - there and len(_done(scores, part)) < len(part):
                kills.at_work += 1
            else:
                kills.before_work += 1
        number += 1
    process = _start([*arguments, "--index", str(worker), "--count", str(WORKERS)], log)
    assert process.wait() == 0, log.read_text()[-4000:]
    return kills


def _start(arguments: list[str], log: Path) -> "subprocess.Popen[bytes]":
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with log.open("ab") as file:
        command = [sys.executable, "-m", "datascaler", "score", *arguments]
        return subprocess.Popen(command, stdout=file, stderr=file, env=environment)


def _done(scores: str, part: range) -> set[str]:
    """The shards of a part that have a table, whoever made it."""
    names = {storage.basename(info.url) for info in storage.list_files(scores, ".parquet", recursive=True)}
    return {name for name in (f"{shard:08d}.parquet" for shard in part) if name in names}


def _tables(out: str) -> dict[str, tuple[Footer, list[dict[str, object]], bytes]]:
    """Name -> footer but for its times, rows, and the scores to the last bit."""
    tables = {}
    for info in storage.list_files(f"{out}/scores", ".parquet", recursive=True):
        table, footer = read_table(info.url, COLUMNS)
        scores = table["score"].to_numpy()
        assert np.isfinite(scores).tolist() == [state == OK for state in table["status"].to_pylist()]
        rows = table.drop_columns(["score"]).to_pylist()
        name = storage.relative_to(info.url, out)
        tables[name] = (replace(footer, seconds=0.0, finished=""), rows, scores.tobytes())
    return tables
