"""Weights files as people have them: each gives the features of open_clip's own model, or one line that names it."""

import argparse
import datetime
import io
import json
import logging
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import safetensors.torch
import torch
from torch import Tensor

from datascaler.errors import ConfigError, DatascalerError
from datascaler.models.create_clip import weights_hash
from datascaler.models.load import load_clip
from tests.tiny_clip import CONFIG

SMALL = {**CONFIG, "text_cfg": {**CONFIG["text_cfg"], "vocab_size": 64}}
UNSAFE = ("weights_only", "set to `False`", "trust the source", "two options")


class Settings:
    """An object of a training loop's own."""

    def __init__(self) -> None:
        self.rate = 0.1


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        built: torch.nn.Module = open_clip.CLIP(**json.loads(json.dumps(SMALL))).eval()
    return built


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": SMALL}))
    return tmp_path


def saved(content: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


def zipped(name: str, content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, content)
    return file.getvalue()


State = dict[str, Tensor]
READ: dict[str, tuple[str, Callable[[State], bytes]]] = {
    "plain": ("w.pt", saved),
    "old format": ("w.bin", lambda state: saved(state, _use_new_zipfile_serialization=False)),
    "safetensors": ("w.safetensors", safetensors.torch.save),
    "safetensors by another name": ("w.bin", safetensors.torch.save),
    "torch by the name of safetensors": ("w.safetensors", saved),
    "lightning": ("w.ckpt", lambda s: saved({"state_dict": {f"net.{n}": v for n, v in s.items()}, "epoch": 1})),
    "an attribute of a wrapper": ("w.pth", lambda state: saved({f"clip.{n}": v for n, v in state.items()})),
    "below model": ("w.pth.tar", lambda state: saved({"model": state, "epoch": 3})),
    "a namespace beside them": ("w.pt", lambda s: saved({"state_dict": s, "args": argparse.Namespace(lr=0.1)})),
    "numbers of numpy's": ("w.pt", lambda s: saved({"state_dict": s, "best": np.float64(0.3)})),
    "paths, times and objects": (
        "w.pt",
        lambda s: saved(
            {"model": s, "at": datetime.timedelta(9, 9999, 9999), "out": Path("a"), "own": Settings(), "seen": {1}}
        ),
    ),
    "an object of one's own with items": ("w.pt", lambda s: saved({"state_dict": s, "c": np.arange(3)})),
    "averages beside them": ("w.pt", lambda s: saved({"state_dict": s, "state_dict_ema": s})),
}

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize 10240\n"
NAMED: dict[str, tuple[str, Callable[[State], bytes], str]] = {
    "a pointer": ("w.bin", lambda _: POINTER, "a git-lfs pointer"),
    "a pointer for safetensors": ("w.safetensors", lambda _: POINTER, "a git-lfs pointer"),
    "a login page": ("w.pt", lambda _: b"\n<!DOCTYPE html><html>Sign in</html>", "a web page"),
    "a store's answer": ("w.bin", lambda _: b'<?xml version="1.0"?><Error/>', "a server's answer"),
    "an answer in JSON": ("w.pt", lambda _: b'{"error": "Invalid credentials"}', "it is JSON"),
    "empty": ("w.pt", lambda _: b"", "it is empty"),
    "GGUF": ("w.gguf", lambda _: b"GGUF\3\0\0\0", "a quantised file of llama.cpp's"),
    "HDF5": ("tf_model.h5", lambda _: b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    "Flax": ("flax_model.msgpack", lambda _: b"\xde\0\1abcdefgh", "of another kind (Flax's)"),
    "ONNX": ("model.onnx", lambda _: b"\x08\7\x12\7pytorch", "of another kind"),
    "numpy's": ("w.npz", lambda _: zipped("a.npy", b"x"), "numpy's arrays"),
    "a zip": ("w.zip", lambda s: zipped("w.pt", saved(s)), "it is a zip: unpack it"),
    "gzip": ("w.pt", lambda _: b"\x1f\x8b\x08\0", "packed by gzip"),
    "a whole module": ("w.pt", lambda _: saved(torch.nn.Linear(1, 1)), "objects of torch.nn.modules.linear.Linear"),
    "an optimizer": ("w.pt", lambda _: saved({"optimizer": {"state": {}}, "epoch": 1}), "no weights, but 'optimizer'"),
    "nothing": ("w.pt", lambda _: saved({}), "it holds no weights"),
    "transformers": (
        "pytorch_model.bin",
        lambda _: saved({"text_model.a": torch.zeros(1), "vision_model.post_layernorm.weight": torch.zeros(4)}),
        "in the layout of the transformers library",
    ),
    "an adapter": (
        "adapter_model.safetensors",
        lambda _: safetensors.torch.save({f"base_model.model.q.lora_{e}.weight": torch.zeros(1) for e in "AB"}),
        "an adapter (LoRA)",
    ),
    "quantised, with scales": (
        "w.pt",
        lambda s: saved({n: (v * 9).to(torch.int8) for n, v in s.items()} | {"visual.proj.SCB": torch.ones(1)}),
        "a quantised model",
    ),
    "quantised": ("w.pt", lambda s: saved({n: (v * 9).to(torch.int8) for n, v in s.items()}), "a quantised model"),
    "one tower": (
        "w.pt",
        lambda s: saved({name: value for name, value in s.items() if name.startswith("visual.")}),
        "it is the image tower alone",
    ),
    "not finite": ("w.pt", lambda s: saved(s | {"visual.proj": s["visual.proj"] * float("nan")}), "are not finite"),
    "one part": (
        "w-00001-of-00002.safetensors",
        safetensors.torch.save,
        "file 2, w-00002-of-00002.s",
    ),
}


@pytest.mark.parametrize(("name", "written"), READ.values(), ids=READ)
def test_what_can_be_read_safely_is_read(
    name: str, written: Callable[[State], bytes], folder: Path, model: torch.nn.Module
) -> None:
    (folder / name).write_bytes(written(model.state_dict()))
    clip = load_clip(pretrained=f"{folder}/{name}")
    assert clip.weights_hash == weights_hash(model)
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(clip.model.encode_image(images), model.encode_image(images))  # type: ignore[operator]


@pytest.mark.parametrize(("name", "written", "reason"), NAMED.values(), ids=NAMED)
def test_what_can_not_is_named_with_the_remedy(
    name: str, written: Callable[[State], bytes], reason: str, folder: Path, model: torch.nn.Module
) -> None:
    (folder / name).write_bytes(written(model.state_dict()))
    with pytest.raises(ConfigError) as caught:
        load_clip(pretrained=f"{folder}/{name}")
    text = str(caught.value)
    assert reason in text
    assert name in text
    assert len(text.splitlines()) == 1
    assert not any(each in text for each in UNSAFE)


@pytest.mark.parametrize("gelu", ["GELU", "QuickGELU"])
def test_a_traced_archive_keeps_its_activation(gelu: str, folder: Path) -> None:
    config = json.loads(json.dumps(SMALL)) | {"quick_gelu": gelu == "QuickGELU"}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        traced = open_clip.CLIP(**config).eval()
    image, text = torch.rand(1, 3, 32, 32), torch.ones(1, 16, dtype=torch.long)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is to go; its files stay
        scripted = torch.jit.trace_module(  # type: ignore[no-untyped-call]
            traced, {"encode_image": image, "encode_text": text}, check_trace=False, strict=False
        )
        torch.jit.save(scripted, folder / "traced.pt")
    clip = load_clip(pretrained=f"{folder}/traced.pt")
    with torch.inference_mode():
        torch.testing.assert_close(clip.model.encode_image(image), traced.encode_image(image))  # type: ignore[operator]


def test_parts_are_one_model(folder: Path, model: torch.nn.Module) -> None:
    state = model.state_dict()
    parts = [f"open_clip_model-0000{number}-of-00003.safetensors" for number in (1, 2, 3)]
    for number, name in enumerate(parts):
        safetensors.torch.save_file(dict(list(state.items())[number::3]), folder / name)
    index = {"weight_map": dict.fromkeys(state, parts[0]) | dict(zip("abc", parts, strict=True))}
    (folder / "open_clip_model.safetensors.index.json").write_text(json.dumps(index))
    for folder_name, file in (
        (f"local-dir:{folder}", None),
        (None, f"{folder}/{parts[1]}"),
        (None, f"{folder}/open_clip_model.safetensors.index.json"),
    ):
        assert load_clip(folder_name, file).weights_hash == weights_hash(model)


def test_weights_of_siglips_loss_bring_their_bias(folder: Path, model: torch.nn.Module) -> None:
    """open_clip's own training with --siglip makes such files, of architectures whose config has no bias."""
    (folder / "w.pt").write_bytes(saved(model.state_dict() | {"logit_bias": torch.tensor(-10.0)}))
    clip = load_clip(pretrained=f"{folder}/w.pt")
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(clip.model.encode_image(images), model.encode_image(images))  # type: ignore[operator]
    assert clip.model.state_dict()["logit_bias"] == -10


@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
def test_a_cut_file_is_named_with_the_remedy(name: str, folder: Path, model: torch.nn.Module) -> None:
    whole = saved(model.state_dict()) if name == "w.pt" else safetensors.torch.save(model.state_dict())
    (folder / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ConfigError, match=rf"{name}: .*; copy or download it again$"):
        load_clip(pretrained=f"{folder}/{name}")


def test_tokens_that_a_model_does_not_know_are_named(folder: Path, model: torch.nn.Module) -> None:
    (folder / "w.pt").write_bytes(saved(model.state_dict()))
    clip = load_clip(pretrained=f"{folder}/w.pt")
    with pytest.raises(ConfigError, match=r"knows tokens up to 63, and its tokenizer gives 49407: .*hf_tokenizer_name"):
        clip.embed_texts(clip.tokenize(["a cat"]))


def test_of_several_files_the_one_that_is_used_is_said(
    folder: Path, model: torch.nn.Module, caplog: pytest.LogCaptureFixture
) -> None:
    state = model.state_dict()
    for epoch in (2, 10, 9):
        torch.save(state | {"logit_scale": torch.tensor(float(epoch))}, folder / f"epoch_{epoch}.pt")
    with caplog.at_level(logging.WARNING):
        clip = load_clip(f"local-dir:{folder}")
    assert "holds 3 weights files: epoch_10.pt is used, not epoch_9.pt, epoch_2.pt; --pretrained FILE" in caplog.text
    assert clip.model.state_dict()["logit_scale"] == 10
    assert load_clip(pretrained=f"{folder}/epoch_2.pt").model.state_dict()["logit_scale"] == 2


@pytest.mark.parametrize("address", ["", "memory://forms"])
def test_a_folder_without_weights_is_a_wrong_configuration(address: str, folder: Path) -> None:
    where = address or str(folder)
    with pytest.raises(
        ConfigError, match="neither a weights file" if not address else "no such folder, or it is empty"
    ):
        load_clip(f"local-dir:{where}")


def test_names_and_tags_are_suggested_whatever_their_case() -> None:
    for model, tag, message in (
        ("vit-b/32", "openai", "did you mean ViT-B-32"),
        ("ViT-B-32", "LAION2B-s34b-b79", "no pretrained tag .*did you mean laion2b_s34b_b79k"),
    ):
        with pytest.raises(DatascalerError, match=message):
            load_clip(model, tag)
