"""Exported runs in stock open_clip, by folder and by name, and all of DataComp's way from a run to its scores."""

import json
import pickle
import re
import shutil
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pyarrow.parquet as pq
import pytest
import torch
from click.testing import CliRunner
from open_clip import factory
from torch import Tensor

from datascaler import storage
from datascaler.cli.main import cli
from datascaler.data.runs.run_folder import run_url
from datascaler.errors import ConfigError
from datascaler.evaluate.evaluate_clip import evaluate_clip
from datascaler.models.build import build_clip
from datascaler.models.load import load_clip
from datascaler.models.run_weights import newest_checkpoint, read_checkpoint
from datascaler.spec.evaluate import EvalSpec
from datascaler.spec.train import TrainSpec
from datascaler.train import export_run as export_module
from datascaler.train.export_run import ExportedRun, export_run
from datascaler.train.train_clip import train_clip
from tests.evaluate.datacomp_evaluate import classified, open_run
from tests.evaluate.sets import TEN_CLASSES, labelled, write_set
from tests.train.runs import BATCH, tiny_spec

ARCH = "ViT-Micro-12-48"
NARROW, FULL, BASE = Fraction(3, 16), Fraction(1), Fraction(1, 16)
KINDS = [(NARROW, False), (NARROW, True), (FULL, False), (FULL, True)]
"""Width, and whether it is parametrised by muP."""


@dataclass
class Exported:
    spec: TrainSpec
    checkpoint: str
    """Of the run, with attention that is not flat."""
    to: ExportedRun
    features: Tensor
    """Of the run's own model."""
    transform: str

    @property
    def folder(self) -> Path:
        return Path(self.to.model.removeprefix("local-dir:"))


@pytest.fixture(scope="module", params=KINDS, ids=str)
def exported(request: pytest.FixtureRequest, pool: str, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """A run, trained and exported."""
    width, use_mup = request.param
    spec = tiny_spec(
        pool,
        str(tmp_path_factory.mktemp("exported")),
        model_arch=ARCH,
        width_mult=width,
        min_width_mult=BASE if use_mup else width,
        use_mup=use_mup,
        train_num_samples=BATCH,
        num_checkpoints=1,
    )
    train_clip(spec)
    newest = newest_checkpoint(run_url(spec))
    assert newest
    # Attention of a model that has hardly learnt is nearly flat, whatever its scale is: sharpen it.
    content = read_checkpoint(newest)
    draw = torch.Generator().manual_seed(0)
    for name, value in content["state_dict"].items():
        if name.endswith("in_proj_weight"):
            value.mul_(8)
        elif name.endswith("in_proj_bias"):
            value.normal_(generator=draw)
    sharp = storage.join(storage.parent(newest), "sharp.pt")
    torch.save(content, sharp)
    to = export_run(sharp, str(tmp_path_factory.mktemp("to") / "model"))
    clip = load_clip(None, sharp)
    return Exported(spec, sharp, to, unit_features(clip.model), plain_text(clip.preprocess))


@pytest.fixture
def stock_open_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    """open_clip as in a program that has never heard of us: its own configs alone."""
    own = Path(factory.__file__).parent / "model_configs"
    monkeypatch.setattr(factory, "_MODEL_CONFIG_PATHS", [own])
    configs = {name: each for name, each in factory._MODEL_CONFIGS.items() if (own / f"{name}.json").exists()}
    monkeypatch.setattr(factory, "_MODEL_CONFIGS", configs)


def unit_features(model: Any, tokens: Tensor | None = None) -> Tensor:
    draw = torch.Generator().manual_seed(1)
    images = torch.randn(5, 3, 48, 48, generator=draw)
    texts = ["a red circle", "two cats", "", "x" * 200, "a photo of a dog."]
    tokens = open_clip.SimpleTokenizer(context_length=16)(texts) if tokens is None else tokens
    with torch.no_grad():
        return torch.cat([model.encode_image(images, normalize=True), model.encode_text(tokens, normalize=True)])


def plain_text(transform: Any) -> str:
    """Without the addresses of functions; JSON makes lists of tuples."""
    return re.sub(" at 0x[0-9a-f]+", "", repr(transform)).replace("[", "(").replace("]", ")")


def assert_same(stock: Any, expected: Tensor) -> None:
    torch.testing.assert_close(unit_features(stock.eval()), expected, atol=1e-5, rtol=0)


@pytest.mark.usefixtures("stock_open_clip")
def test_stock_open_clip_gives_equal_features(exported: Exported) -> None:
    assert exported.to.largest_difference < 1e-5
    folder, weights = exported.folder, str(exported.folder / "open_clip_model.safetensors")
    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    assert_same(model, exported.features)
    assert plain_text(transform) == exported.transform
    assert exported.to.info_pkl == str(folder / "info.pkl")
    assert_same(open_run(folder)[0], exported.features)
    open_clip.add_model_config(folder)
    assert_same(open_clip.create_model(exported.to.name, pretrained=weights), exported.features)
    assert open_clip.get_tokenizer(exported.to.name)(["a cat"]).shape == (1, 16)
    if exported.spec.use_mup:
        # Without the fold it would be another model.
        plain = open_clip.create_model(exported.to.name)
        plain.load_state_dict(read_checkpoint(exported.checkpoint)["state_dict"])
        assert (unit_features(plain.eval()) - exported.features).abs().max() > 1e-3


# ---- from a run to its scores, as a user of DataComp goes ------------------------------------------------------------


@pytest.fixture(scope="module")
def evalset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sets") / "wds_cifar10_test"
    write_set(str(folder), labelled(24), shards=2, classnames=TEN_CLASSES)
    return folder


def assert_evaluated(evalset: Path, pretrained: str, output_dir: Path, logits: Tensor, labels: Tensor) -> None:
    """Our own evaluation gives the scores that follow from these logits, but where two classes are as good as equal."""
    spec = EvalSpec(
        data_dir=str(evalset.parent),
        pretrained=pretrained,
        output_dir=str(output_dir),
        tasks=("cifar10",),
        allow_partial_sets=True,
    )
    evaluate_clip(spec)
    (line,) = map(json.loads, (output_dir / "eval_results.jsonl").read_text().splitlines())
    table = pq.read_table(output_dir / "eval_samples/cifar10.parquet")
    own = logits.log_softmax(dim=1).gather(1, labels[:, None])[:, 0]
    assert table["log_probability"].to_numpy() == pytest.approx(own.numpy(), abs=1e-3)
    best = logits.topk(2, dim=1)
    is_clear = (best.values[:, 0] - best.values[:, 1] > 2e-3).numpy()
    assert is_clear.mean() > 0.4
    predicted = table["prediction"].to_numpy()
    assert (predicted == best.indices[:, 0].numpy())[is_clear].all()
    assert line["metrics"]["acc1"] == line["metrics"]["main_metric"] == np.mean(predicted == labels.numpy())
    assert len(set(predicted)) > 1


@pytest.mark.usefixtures("stock_open_clip")
@pytest.mark.parametrize("exported", KINDS[1:2], indirect=True, ids=str)
def test_datacomps_evaluate_gives_an_export_the_scores_of_ours(exported: Exported, evalset: Path) -> None:
    # Their results go into the folder by default, and ours may too: neither makes again what the other has made.
    logits, labels = classified(open_run(exported.folder), evalset)
    assert_evaluated(evalset, str(exported.folder), exported.folder, logits, labels)


@pytest.mark.parametrize("exported", KINDS[-1:], indirect=True, ids=str)
def test_an_export_under_a_name_of_open_clips_own_may_be_moved(
    exported: Exported, evalset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """evaluate.py then takes checkpoints/epoch_latest.pt; our own evaluation goes by the folder itself."""
    monkeypatch.setattr(export_module, "_is_stock", lambda name: name == ARCH)
    export_run(exported.checkpoint, str(tmp_path / "first"))
    shutil.move(tmp_path / "first", tmp_path / "moved")
    assert pickle.loads((tmp_path / "moved/info.pkl").read_bytes())["scale_config"]["model"] == ARCH
    opened = open_run(tmp_path / "moved")
    assert_same(opened[0], exported.features)
    assert_evaluated(evalset, str(tmp_path / "moved"), tmp_path / "results", *classified(opened, evalset))
    assert_evaluated(evalset, exported.checkpoint, tmp_path / "of the run", *classified(opened, evalset))


def test_a_run_folder_of_datacomps_is_evaluated_as_it_is(evalset: Path, tmp_path: Path) -> None:
    """train.py leaves info.pkl and checkpoints/epoch_latest.pt, whose names begin with `module.`."""
    folder = tmp_path / "small_scale"
    (folder / "checkpoints").mkdir(parents=True)
    weights = {f"module.{name}": value for name, value in build_clip(ARCH, seed=3).model.state_dict().items()}
    latest = folder / "checkpoints/epoch_latest.pt"
    optimizer = {"state": {0: {"step": torch.tensor(1.0)}}, "param_groups": [{"lr": 1e-3, "params": [0]}]}
    torch.save({"epoch": 5, "name": "small_scale", "state_dict": weights, "optimizer": optimizer, "scaler": {}}, latest)
    info = {"scale": "small", "checkpoint": latest, "scale_config": {"model": ARCH}, "data_dir": Path("/pool")}
    (folder / "info.pkl").write_bytes(pickle.dumps(info))
    assert_evaluated(evalset, str(folder), tmp_path / "out", *classified(open_run(folder), evalset))
    with pytest.raises(ConfigError, match=r"small_scale is a run of DataComp's or an export: give it as --pretrained"):
        evaluate_clip(EvalSpec(data_dir=str(evalset.parent), train_dir=str(folder)))


# ---- the verb --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("exported", KINDS[-1:], indirect=True, ids=str)
def test_a_run_is_exported_beside_itself_again_and_never_over_another(exported: Exported, tmp_path: Path) -> None:
    run = run_url(exported.spec)
    done = CliRunner().invoke(cli, ["export", run, "--json"], catch_exceptions=False)
    told = json.loads(done.stdout)
    assert (told["model"], told["samples_seen"]) == (f"local-dir:{run}/export", BATCH)
    assert export_run(run).model == told["model"]
    assert load_clip(told["model"]).config == told["model"]
    other = shutil.copytree(run, tmp_path / "another run")
    with pytest.raises(ConfigError, match=rf"{exported.folder} holds another model: that of {run}"):
        export_run(str(other), str(exported.folder))
    for wrong in (tmp_path, exported.folder):
        with pytest.raises(ConfigError, match="is no run with a checkpoint"):
            export_run(str(wrong))
