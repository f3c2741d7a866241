"""Training on an accelerator: the CPU's loss curve, an interruption that changes nothing, and scores of the result."""

from pathlib import Path

import pytest

from datascaler import storage
from datascaler.errors import StoppedError
from datascaler.models.run_weights import newest_checkpoint
from datascaler.score.score_pool import score_pool
from datascaler.train import train_clip as run_module
from datascaler.train.recorder import Recorder
from datascaler.train.step import StartedStep
from datascaler.train.train_clip import train_clip
from tests.score.pools import spec_of
from tests.train.runs import differing_weights, make_pool, metrics_of, only_run, run_cli, tiny_spec

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_pool(str(tmp_path_factory.mktemp("train") / "pool"))


@pytest.mark.parametrize("use_mup", [False, True])
def test_the_loss_is_the_cpus(tmp_path: Path, pairs: str, use_mup: bool) -> None:
    options = ["--scale", "debug", "--method", "none", "--model-arch", "ViT-Mini-8-48", "--width-mult", "0.5"]
    options += ["--min-width-mult", "0.25", f"--use-mup={str(use_mup).lower()}", "--batch-size", "16", "--lr", "1e-3"]
    options += ["--train-num-samples", "320", "--warmup", "4", "--log-every-steps", "1"]
    for name, env in {"cpu": {"CUDA_VISIBLE_DEVICES": ""}, "gpu": {}}.items():
        done = run_cli("train", "--data-dir", pairs, "--output-dir", f"{tmp_path}/{name}", *options, env=env)
        assert done.returncode == 0, done.stderr
        assert {"cpu": "process(es), cpu", "gpu": "process(es), cuda"}[name] in done.stderr + done.stdout
    cpu, gpu = (metrics_of(only_run(tmp_path / name)) for name in ("cpu", "gpu"))
    assert [row["loss"] for row in gpu] == pytest.approx([row["loss"] for row in cpu], rel=0.03)


def test_an_interrupted_run_goes_on(tmp_path: Path, pairs: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = tiny_spec(pairs, f"{tmp_path}/whole")
    train_clip(whole)

    class Stopped(Recorder):
        def after_step(self, started: StartedStep, waited: float, *, save_now: bool) -> None:
            super().after_step(started, waited, save_now=save_now)
            if started.number == 5:
                raise StoppedError("in the middle")

    cut = tiny_spec(pairs, f"{tmp_path}/cut")
    with monkeypatch.context() as patch, pytest.raises(StoppedError):
        patch.setattr(run_module, "Recorder", Stopped)
        train_clip(cut)
    train_clip(cut)
    assert list(differing_weights(only_run(whole.output_dir), only_run(cut.output_dir))) == []


def test_a_run_scores(tmp_path: Path, pairs: str) -> None:
    spec = tiny_spec(pairs, f"{tmp_path}/run")
    train_clip(spec)
    url = only_run(spec.output_dir)
    assert newest_checkpoint(url) is not None
    summary = score_pool(spec_of(pairs, f"{tmp_path}/out", "", pretrained=url, batch_size=16))
    assert (summary.rows, summary.ok) == (64, 64)
    assert storage.list_files(summary.tables, ".parquet", recursive=True)
