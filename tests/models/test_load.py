"""Models by the words that users know, and what is said where there is no such model."""

import re
from pathlib import Path
from typing import Any

import open_clip
import pytest
import safetensors.torch
import torch

from datascaler.errors import ConfigError, DatascalerError
from datascaler.models.arch import register_configs
from datascaler.models.create_clip import weights_hash
from datascaler.models.load import load_clip
from tests.tiny_clip import save_local_dir, tiny_clip_model


def test_unknown_models_and_tags_say_what_there_is(tmp_path: Path) -> None:
    own = f"{tmp_path}/own.pt"
    torch.save({}, own)
    for model, pretrained, message in (
        ("ViT-B32", "openai", r"unknown model 'ViT-B32'; did you mean .*ViT-B-32"),
        ("nothing like it", "openai", r"unknown model 'nothing like it'; see open_clip\.list_models"),
        ("ViT-B-32", "datacomp", r"no pretrained tag 'datacomp' for ViT-B-32; its tags: openai, laion400m_e31"),
        ("ViT-B-32", None, r"ViT-B-32 needs --pretrained: a weights file, or one of its tags: openai"),
        (None, None, r"no model: give --model"),
        ("hf-hub:", None, r"--model hf-hub: names no model: give hf-hub:ORG/NAME"),
        (None, f"{tmp_path}/no-run", r"no-run is neither a weights file .* nor a run with a checkpoint"),
        (None, f"{tmp_path}/x.bin", r"x\.bin does not say what architecture it is for: give --model"),
        ("hf-hub:some/model", "openai", r"brings its own weights: leave out --pretrained"),
        ("local-dir:weights", own, r"brings its own weights: leave out --pretrained"),
    ):
        with pytest.raises(ConfigError, match=message):
            load_clip(model, pretrained)


def test_a_model_without_weights_is_never_a_random_one(tmp_path: Path) -> None:
    local_dir = save_local_dir(str(tmp_path / "tiny"))
    (tmp_path / "tiny" / "open_clip_model.safetensors").unlink()
    with pytest.raises(DatascalerError, match=f"cannot load {re.escape(local_dir)}"):
        load_clip(local_dir, None)
    with pytest.raises(DatascalerError, match=r"cannot load local-dir:.*nowhere"):
        load_clip(f"local-dir:{tmp_path}/nowhere", None)


def test_weights_files_for_a_named_architecture(tmp_path: Path) -> None:
    torch.manual_seed(0)
    register_configs()
    model = open_clip.create_model("ViT-Mini-8-48", pretrained=None)
    torch.save(model.state_dict(), tmp_path / "w.pt")
    safetensors.torch.save_file(model.state_dict(), tmp_path / "w.safetensors")
    hashes = {load_clip("ViT-Mini-8-48", f"{tmp_path}/{name}").weights_hash for name in ("w.pt", "w.safetensors")}
    assert hashes == {weights_hash(model)}
    torch.save(tiny_clip_model().state_dict(), tmp_path / "other.pt")
    with pytest.raises(ConfigError, match=r"other\.pt does not fit ViT-Mini-8-48"):
        load_clip("ViT-Mini-8-48", f"{tmp_path}/other.pt")
    (tmp_path / "broken.pt").write_bytes(b"not weights")
    with pytest.raises(ConfigError, match=r"broken\.pt"):
        load_clip("ViT-Mini-8-48", f"{tmp_path}/broken.pt")
    torch.save({"state_dict": torch.nn.Linear(1, 1)}, tmp_path / "module.pt")
    with pytest.raises(ConfigError, match=r"module\.pt was refused: it holds more than weights"):
        load_clip("ViT-Mini-8-48", f"{tmp_path}/module.pt")


@pytest.mark.parametrize("suffix", ["pt", "bin", "safetensors"])
def test_weights_as_training_loops_save_them(tmp_path: Path, suffix: str) -> None:
    """Below a name, beside an epoch, with the prefixes of torch.compile, of distributed wrappers and of frameworks."""
    torch.manual_seed(0)
    register_configs()
    model = open_clip.create_model("ViT-Mini-8-48", pretrained=None)
    weights = model.state_dict()

    def named(prefix: str, inner: str = "") -> dict[str, torch.Tensor]:
        return {prefix + name.replace("visual.", f"visual.{inner}"): value for name, value in weights.items()}

    files: list[Any] = [named("module."), named("_orig_mod."), named("module._orig_mod."), named("_orig_mod.module.")]
    files += [named("", "_orig_mod."), named("model.")]
    if suffix != "safetensors":
        files += [{"model": named("")}, {"epoch": 3, "state_dict": named("module."), "optimizer": {"lr": 0.1}}]
        files += [{"epoch": 3, "model": named("module._orig_mod.")}, {"module": {"model": named("")}, "step": 5}]
        files += [{"model_state_dict": named("_orig_mod.")}]
    for number, content in enumerate(files):
        path = tmp_path / f"{number}.{suffix}"
        if suffix == "safetensors":
            safetensors.torch.save_file(content, path)
        else:
            torch.save(content, path)
        assert load_clip("ViT-Mini-8-48", str(path)).weights_hash == weights_hash(model), number


def test_what_does_not_fit_is_named_and_counted(tmp_path: Path) -> None:
    torch.manual_seed(0)
    register_configs()
    weights = open_clip.create_model("ViT-Mini-8-48", pretrained=None).state_dict()
    del weights["logit_scale"]
    weights["text_projection"] = torch.zeros(3, 5)
    torch.save({**weights, "extra": torch.zeros(1)}, tmp_path / "w.pt")
    expected = r"w\.pt does not fit ViT-Mini-8-48: tensors: 1 missing \(logit_scale\); 1 unexpected \(extra\); "
    with pytest.raises(
        ConfigError, match=expected + r"1 of another size \(text_projection \[3, 5\] in place of \[\d+, \d+\]\)"
    ):
        load_clip("ViT-Mini-8-48", f"{tmp_path}/w.pt")
    torch.save({"other.weight": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(ConfigError, match=r"tensors: \d+ missing \(\S+, \S+, \S+, \.\.\.\); 1 unexpected \(other"):
        load_clip("ViT-Mini-8-48", f"{tmp_path}/other.pt")
