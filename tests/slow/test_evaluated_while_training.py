"""`train --eval-every` as a whole: the same run as without, and its checkpoints evaluated while it goes on."""

import json
import signal
import time
from pathlib import Path

import pytest

from datascaler.data.runs.run_folder import run_url
from tests.evaluate.sets import TEN_CLASSES, labelled, write_set
from tests.train.runs import BATCH, checkpoint_of, differing_weights, make_pool, run_cli, start_cli, tiny_spec

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
STEPS = 1000


def test_checkpoints_are_evaluated_while_the_run_goes_on(tmp_path: Path) -> None:
    pool = make_pool(str(tmp_path / "pool"), samples=24, samples_per_shard=12)
    write_set(str(tmp_path / "sets/shapes"), labelled(24), classnames=TEN_CLASSES)
    (tmp_path / "sets/shapes/tasklist.yml").write_text("shapes: {name: shapes, size: 24}\n")
    spec = tiny_spec(pool, str(tmp_path / "with"), train_num_samples=STEPS * BATCH, num_checkpoints=STEPS // 4)
    words = ["train", *spec.arguments(), "--eval-every", str(20 * BATCH), "--eval-data-dir", str(tmp_path / "sets")]
    run = Path(run_url(spec))
    curve = run / "eval/checkpoints/eval_curve.jsonl"

    # Killed: the evaluation ends with the job, and both go on with it.
    killed = start_cli(*words)
    deadline = time.monotonic() + 900
    while not curve.exists():
        assert killed.poll() is None, killed.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.1)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    until_alone(str(run))
    done = run_cli(*words)
    assert done.returncode == 0, done.stderr
    points = [json.loads(line) for line in curve.read_text().splitlines()]
    assert all((each["scored"], each["of"]) == (1, 1) for each in points)
    seen = [each["samples_seen"] for each in points]
    assert seen == sorted(set(seen))
    assert seen[-1] < spec.train_num_samples
    assert (run / "eval/eval_summary.json").exists()

    plain = tiny_spec(pool, str(tmp_path / "without"), train_num_samples=STEPS * BATCH, num_checkpoints=1)
    assert run_cli("train", *plain.arguments()).returncode == 0
    assert checkpoint_of(str(run))["samples_seen"] == STEPS * BATCH
    assert list(differing_weights(str(run), run_url(plain))) == []


def until_alone(run: str) -> None:
    """Until no process has the run in its command line."""
    deadline = time.monotonic() + 60
    while any(run in command for command in map(_command, Path("/proc").glob("[0-9]*"))):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _command(process: Path) -> str:
    try:
        return (process / "cmdline").read_text()
    except OSError:
        return ""
