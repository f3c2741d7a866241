"""Weights in OpenAI's layout give the scores that a computation without open_clip and our loader gives."""

import pickle
import re
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import safetensors.torch
import torch
from click.testing import CliRunner
from PIL import Image
from torch import Tensor

from datascaler.cli.main import cli
from datascaler.data.tables.score_table import read_table
from datascaler.errors import ConfigError, DatascalerError
from datascaler.models.arch import register_configs
from datascaler.models.load import load_clip
from datascaler.models.quick_gelu import config_of_tag, has_quick_gelu
from datascaler.models.weights.readable_weights import MARKS, openai_weights
from tests.data.tars import members_of, shard_of
from tests.models import openai_clip
from tests.natural import encoded
from tests.score.pools import make_pool, only_folder

ARCHS = ("ViT-B-32", "ViT-L-14")
CAPTIONS = ["a red circle", "two cats on a sofa", "", "word " * 30, "Ein Haus am See, 1987", "a photo of a dog."]


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    return openai_clip.random_state()


@pytest.fixture(scope="module")
def archive(state: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("openai") / "ViT-B-32.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch.jit is to go; OpenAI's files stay
        openai_clip.save_torchscript(state, path)
    return path


@pytest.fixture
def small_archs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The names and tags are open_clip's own; what they name is small enough for a test."""
    register_configs()
    for arch in ARCHS:
        monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, arch, openai_clip.CONFIG)
        quick = {**openai_clip.CONFIG, "quick_gelu": True}
        monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, f"{arch}-quickgelu", quick)


def pictures() -> np.ndarray[Any, np.dtype[np.uint8]]:
    side = openai_clip.SIDE
    return np.random.default_rng(0).integers(0, 256, (len(CAPTIONS), side, side, 3), dtype=np.uint8)


def expected_scores(state: dict[str, Tensor], gelu: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    tokens = open_clip.SimpleTokenizer(context_length=openai_clip.CONTEXT)(CAPTIONS).numpy()
    return openai_clip.scores(state, pictures(), tokens, gelu)


def scores_of_command(tmp_path: Path, *options: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    samples = [
        {**members_of(number, caption=caption), "png": encoded(Image.fromarray(pixels), "PNG")}
        for number, (caption, pixels) in enumerate(zip(CAPTIONS, pictures(), strict=True))
    ]
    pool = make_pool(f"{tmp_path}/pool", {"0": shard_of(samples)})
    where = ["--data-dir", pool, "--output-dir", f"{tmp_path}/out", "--method", "clip", "--num-workers", "1"]
    result = CliRunner().invoke(cli, ["score", *where, *options])
    assert result.exit_code == 0, result.output
    tables = only_folder(tmp_path / "out")
    return np.array(read_table(f"{tables}/shards/0.parquet", ["score"])[0]["score"].to_pylist())


def variants(state: dict[str, Tensor], archive: Path, folder: Path) -> Iterator[tuple[Path, bool]]:
    """The same weights as files, and whether they are in OpenAI's layout."""
    weights = {name: value for name, value in state.items() if name not in MARKS}
    yield archive, True
    torch.save(state, folder / "state.pt")
    yield folder / "state.pt", True
    torch.save({"state_dict": {f"module.{name}": value for name, value in state.items()}}, folder / "wrapped.pth")
    yield folder / "wrapped.pth", True
    torch.save(state, folder / "old.bin", _use_new_zipfile_serialization=False)
    yield folder / "old.bin", True
    safetensors.torch.save_file(weights, folder / "converted.safetensors")
    yield folder / "converted.safetensors", False


@pytest.mark.usefixtures("small_archs")
@pytest.mark.parametrize("arch", ["b32", "l14"])
def test_default_scores_are_those_of_openais_activation(
    arch: str, state: dict[str, Tensor], archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_clip.factory, "download_pretrained", lambda *_, **__: str(archive))
    right, wrong = expected_scores(state, "quick"), expected_scores(state, "exact")
    # With the other activation the test would fail: these weights tell the two apart.
    assert np.abs(right - wrong).max() > 1e-3
    np.testing.assert_allclose(scores_of_command(tmp_path, "--arch", arch), right, atol=1e-5)


@pytest.mark.usefixtures("small_archs")
def test_every_form_of_a_weights_file_gives_the_scores_of_its_activation(
    state: dict[str, Tensor], archive: Path, tmp_path: Path
) -> None:
    expected = {gelu: expected_scores(state, gelu) for gelu in ("quick", "exact")}
    hashes = {}
    for file, is_openai in variants(state, archive, tmp_path):
        archs = ("ViT-B-32",) if is_openai else ("ViT-B-32", "ViT-B-32-quickgelu")
        for arch in archs:
            clip = load_clip(arch, str(file))
            gelu = "quick" if is_openai or arch.endswith("-quickgelu") else "exact"
            assert (clip.arch, clip.config) == (arch, "ViT-B-32" + {"quick": "-quickgelu", "exact": ""}[gelu]), file
            images = torch.stack([clip.preprocess(Image.fromarray(each)) for each in pictures()])
            found = (clip.embed_images(images) * clip.embed_texts(clip.tokenize(CAPTIONS))).sum(dim=-1)
            np.testing.assert_allclose(found, expected[gelu], atol=1e-5)
            hashes[gelu, clip.weights_hash] = file
    # Tables of one activation are never taken for those of the other.
    assert sorted(gelu for gelu, _ in hashes) == ["exact", "quick"]


@pytest.mark.usefixtures("small_archs")
def test_scores_of_an_archive_given_by_its_url(state: dict[str, Tensor], archive: Path, tmp_path: Path) -> None:
    found = scores_of_command(tmp_path, "--model", "ViT-B-32", "--pretrained", str(archive))
    np.testing.assert_allclose(found, expected_scores(state, "quick"), atol=1e-5)


def test_an_archive_is_read_without_running_it(state: dict[str, Tensor], archive: Path, tmp_path: Path) -> None:
    weights, is_openai = openai_weights(archive)
    assert is_openai
    assert weights.keys() == state.keys() - set(MARKS)
    assert all(torch.equal(weights[name], state[name]) for name in weights)
    ran = tmp_path / "ran"
    evil = tmp_path / "evil.pt"
    with zipfile.ZipFile(evil, "w") as file:
        file.writestr("evil/constants.pkl", b"")
        file.writestr("evil/data.pkl", pickle.dumps(_Touch(ran)))
    with pytest.raises(ConfigError, match=r"evil\.pt does not fit ViT-B-32"):
        load_clip("ViT-B-32", str(evil))
    assert not ran.exists()


class _Touch:
    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self._path,)


def test_every_tag_of_open_clip_gets_the_activation_that_its_table_says_or_is_refused() -> None:
    refused = []
    for arch, tag in open_clip.list_pretrained():
        settings = open_clip.get_pretrained_cfg(arch, tag)
        try:
            config = config_of_tag(arch, tag, settings)
        except ConfigError as error:
            refused.append((arch, tag, str(error)))
            continue
        assert has_quick_gelu(config) == settings.get("quick_gelu", False), (arch, tag)
        plain, taken = open_clip.get_model_config(arch), open_clip.get_model_config(config)
        assert {**plain, "quick_gelu": None} == {**taken, "quick_gelu": None}
    assert [(arch, tag) for arch, tag, _ in refused] == [("roberta-ViT-B-32", "laion2b_s12b_b32k")]
    assert refused[0][2].endswith(
        "were trained with GELU and open_clip's roberta-ViT-B-32 has QuickGELU; give --model "
        "hf-hub:laion/CLIP-ViT-B-32-roberta-base-laion2B-s12B-b32k, whose own config says what it is"
    )


def test_a_tag_without_a_config_of_its_activation_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    register_configs()
    settings = {"quick_gelu": True, "url": "", "hf_hub": "", "file": "never read"}
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "ViT-Mini-8-48", {"quick": settings})
    with pytest.raises(ConfigError, match=r"the weights quick of ViT-Mini-8-48 were trained with QuickGELU"):
        load_clip("ViT-Mini-8-48", "quick")
    with pytest.raises(ConfigError, match=r"no pretrained tag 'laion2b_s34b_b79k' for .*; give --model ViT-B-32$"):
        load_clip("ViT-B-32-quickgelu", "laion2b_s34b_b79k")
    with pytest.raises(ConfigError, match=r"no pretrained tag 'laion' for ViT-B-32-quickgelu; its tags: openai"):
        load_clip("ViT-B-32-quickgelu", "laion")


def test_what_a_tag_says_of_images_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register_configs()
    torch.manual_seed(0)
    torch.save(open_clip.create_model("ViT-Mini-8-48").state_dict(), tmp_path / "w.pt")
    settings = {
        "file": str(tmp_path / "w.pt"),
        "mean": (0.5, 0.4, 0.3),
        "std": (0.1, 0.2, 0.3),
        "interpolation": "bilinear",
        "resize_mode": "squash",
    }
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "ViT-Mini-8-48", {"own_tag": settings})
    clip = load_clip("ViT-Mini-8-48", "Own-Tag")
    text = re.sub(r"\s+", " ", repr(clip.preprocess))
    assert "Resize(size=(48, 48), interpolation=bilinear" in text
    assert "Normalize(mean=(0.5, 0.4, 0.3), std=(0.1, 0.2, 0.3))" in text
    assert clip.preprocess_hash != load_clip("ViT-Mini-8-48", f"{tmp_path}/w.pt").preprocess_hash


def test_position_embeddings_are_never_stretched(tmp_path: Path) -> None:
    register_configs()
    state = open_clip.create_model("ViT-Mini-8-48").state_dict()
    for name, rows, message in (
        ("visual.positional_embedding", 17, "it has positions for 17 patches, the architecture 37"),
        ("positional_embedding", 77, "it has positions for 77 tokens, the architecture 16"),
    ):
        torch.save(state | {name: torch.zeros(rows, 96)}, tmp_path / "other.pth")
        with pytest.raises(ConfigError, match=f"other.pth does not fit ViT-Mini-8-48: {message}"):
            load_clip("ViT-Mini-8-48", f"{tmp_path}/other.pth")
        folder = tmp_path / "local"
        folder.mkdir(exist_ok=True)
        config = open_clip.get_model_config("ViT-Mini-8-48")
        (folder / "open_clip_config.json").write_text(f'{{"model_cfg": {str(config).replace(chr(39), chr(34))}}}')
        safetensors.torch.save_file(state | {name: torch.zeros(rows, 96)}, folder / "model.safetensors")
        with pytest.raises(DatascalerError, match=f"do not fit the config of local-dir:.*: {message}"):
            load_clip(f"local-dir:{folder}", None)
