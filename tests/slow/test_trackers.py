"""A run that is copied to the real trackers, offline, in an environment of their own; and read by their own readers."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.train.runs import make_pool, metrics_of, only_run, run_cli, tiny_spec

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
PACKAGES = ("tensorboard", "wandb", "mlflow-skinny")
READ = """
import json, struct, sys
from glob import glob
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from wandb.proto import wandb_internal_pb2
from mlflow import MlflowClient

def records_of(path):
    # A log as LevelDB writes it: blocks of 32 KiB, in which a record may be cut; 7 bytes of W&B's come first.
    data, at, parts = open(path, "rb").read(), 7, []
    while at + 7 <= len(data):
        left = 32768 - at % 32768
        if left < 7:
            at += left
            continue
        length, kind = struct.unpack_from("<HB", data, at + 4)
        parts.append(data[at + 7 : at + 7 + length])
        at += 7 + length
        if kind in (1, 4):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(b"".join(parts))
            yield record
            parts = []

run = sys.argv[1]
events = EventAccumulator(run + "/tensorboard")
events.Reload()
losses = {"tensorboard": [[event.step, event.value] for event in events.Scalars("loss")]}
rows, ids = [], set()
for path in sorted(glob(run + "/wandb/offline-run-*/*.wandb")):
    for record in records_of(path):
        if record.run.run_id:
            ids.add(record.run.run_id)
        items = {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
        if "loss" in items:
            rows.append([items["_step"], items["loss"]])
losses["wandb"] = rows
client = MlflowClient()
(experiment,) = client.search_experiments(filter_string="name = 'datascaler'")
(found,) = client.search_runs([experiment.experiment_id])
losses["mlflow"] = [[m.step, m.value] for m in client.get_metric_history(found.info.run_id, "loss")]
print(json.dumps({"losses": losses, "wandb_runs": len(ids), "status": found.info.status,
                  "lr": found.data.params["lr"]}))
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trackers") / "site"
    command = ["pip", "install", "--quiet", "--target", str(folder), *PACKAGES]
    subprocess.run([sys.executable, "-m", *command], check=True, capture_output=True, text=True)
    return folder


def test_a_run_that_was_stopped_is_one_run_of_each_tracker(site: Path, tmp_path: Path) -> None:
    pool = make_pool(str(tmp_path / "pool"))
    env = {
        "PYTHONPATH": str(site),
        "WANDB_MODE": "offline",
        "MLFLOW_TRACKING_URI": (tmp_path / "mlruns").as_uri(),
        "MLFLOW_ALLOW_FILE_STORE": "true",
    }
    spec = tiny_spec(pool, str(tmp_path / "out"), track=("tensorboard", "wandb", "mlflow"))
    # Given up half-way, as a run that ends before its time; then to the end.
    first = run_cli("train", *spec.arguments(), "--loss-limits", f"{spec.train_num_samples // 2}:0", env=env)
    assert first.returncode == 79, first.stderr
    run = only_run(tmp_path / "out")
    Path(run, "diverged.json").unlink()
    second = run_cli("train", *spec.arguments(), env=env)
    assert second.returncode == 0, second.stderr
    assert "tracker " not in first.stderr + second.stderr

    read = subprocess.run([sys.executable, "-c", READ, run], env={**os.environ, **env}, capture_output=True, text=True)
    assert read.returncode == 0, read.stderr
    found = json.loads(read.stdout.splitlines()[-1])
    wanted = {row["step"]: row["loss"] for row in metrics_of(run)}
    assert list(wanted) == list(range(1, spec.steps + 1))
    for name, losses in found["losses"].items():
        got = dict(losses)
        assert got.keys() == wanted.keys(), name
        assert all(abs(got[step] - wanted[step]) < 1e-6 for step in wanted), name
    assert (found["wandb_runs"], found["status"], float(found["lr"])) == (1, "FINISHED", spec.lr)


def test_trackers_that_fail_do_not_stop_a_run(site: Path, tmp_path: Path) -> None:
    """A service that refuses every connection, a key that is none, a folder that is a file."""
    pool = make_pool(str(tmp_path / "pool"))
    env = {
        "PYTHONPATH": str(site),
        "WANDB_API_KEY": "no-key",
        "WANDB_BASE_URL": "http://127.0.0.1:1",
        "MLFLOW_TRACKING_URI": "http://127.0.0.1:1",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    }
    spec = tiny_spec(pool, str(tmp_path / "out"), track=("tensorboard", "wandb", "mlflow"))
    folder = Path(spec.output_dir, spec.folder)
    folder.mkdir(parents=True)
    Path(folder, "tensorboard").write_text("")
    ended = run_cli("train", *spec.arguments(), env=env)
    assert ended.returncode == 0, ended.stderr
    assert len(metrics_of(str(folder))) == spec.steps
    assert {line.split()[1] for line in ended.stderr.splitlines() if line.startswith("tracker ")} >= {
        *("tensorboard", "mlflow"),
    }
