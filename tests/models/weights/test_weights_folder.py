"""Settings that belong to weights: what lies beside a file is used, and what contradicts it is refused."""

import json
import random
from copy import deepcopy
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from PIL import Image

from datascaler.errors import ConfigError
from datascaler.models.arch import register_configs
from datascaler.models.load import load_clip
from datascaler.models.weights.weights_folder import choose_weights, config_difference, part_names

ARCH = "ViT-Micro-12-48"
IMAGES = {"size": 48, "mean": [0.5] * 3, "std": [0.4] * 3, "resize_mode": "squash", "interpolation": "bilinear"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model's folder whose weights are ordinary ones of `ARCH`."""
    register_configs()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        torch.save(open_clip.create_model(ARCH).state_dict(), tmp_path / "open_clip_pytorch_model.bin")
    write_config(tmp_path, {})
    return tmp_path


def write_config(folder: Path, changes: dict[str, Any]) -> None:
    config = open_clip.get_model_config(ARCH)
    for name, value in changes.items():
        section, _, key = name.rpartition(".")
        (config[section] if section else config)[key] = value
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": IMAGES}))


def test_a_file_is_used_with_the_config_beside_it(folder: Path) -> None:
    file = str(folder / "open_clip_pytorch_model.bin")
    theirs, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
    image = Image.effect_noise((90, 40), 80).convert("RGB")
    clips = [load_clip(ARCH, file), load_clip(pretrained=file), load_clip(f"local-dir:{folder}")]
    for clip in clips:
        assert torch.equal(clip.preprocess(image), preprocess(image))
        with torch.inference_mode():
            pixels = preprocess(image)[None]
            torch.testing.assert_close(clip.model.encode_image(pixels), theirs.encode_image(pixels))  # type: ignore[operator]
    assert len({clip.preprocess_hash for clip in clips}) == len({clip.weights_hash for clip in clips}) == 1
    assert [clip.arch for clip in clips] == [ARCH, f"local-dir:{folder}", f"local-dir:{folder}"]
    (folder / "open_clip_config.json").unlink()
    assert load_clip(ARCH, file).preprocess_hash != clips[0].preprocess_hash
    with pytest.raises(ConfigError, match="does not say what architecture it is for: give --model"):
        load_clip(pretrained=file)


def test_image_settings_of_transformers_are_used(folder: Path) -> None:
    """Unless open_clip's own lie there."""
    file, theirs = str(folder / "open_clip_pytorch_model.bin"), folder / "preprocessor_config.json"
    settings: dict[str, Any] = {"image_mean": [0.5] * 3, "image_std": [0.4] * 3, "resample": 2}
    image = Image.effect_noise((90, 40), 80).convert("RGB")
    own = load_clip(ARCH, file)
    for crop, mode in (
        ({"size": {"height": 48, "width": 48}}, "squash"),
        (
            {"size": {"shortest_edge": 48}, "do_center_crop": True, "crop_size": 48},
            "shortest",
        ),
    ):
        theirs.write_text(json.dumps(settings | crop))
        assert load_clip(ARCH, file).preprocess_hash == own.preprocess_hash
        (folder / "open_clip_config.json").rename(folder / "aside")
        _, _, preprocess = open_clip.create_model_and_transforms(
            ARCH, image_mean=[0.5] * 3, image_std=[0.4] * 3, image_interpolation="bilinear", image_resize_mode=mode
        )
        assert torch.equal(load_clip(ARCH, file).preprocess(image), preprocess(image))
        (folder / "aside").rename(folder / "open_clip_config.json")
    (folder / "open_clip_config.json").unlink()
    for wrong, words in (
        (settings | {"size": 64}, "images of 64 pixels, and the model takes 48: see --image-size"),
        (settings | {"image_mean": [0.5]}, "image_mean is .*, not three numbers"),
        (settings | {"image_mean": [123.7, 116.8, 103.9]}, "image_mean is 123.7, 116.8, 103.9, and channels go from 0"),
        ([], "holds no image settings"),
    ):
        theirs.write_text(json.dumps(wrong))
        with pytest.raises(ConfigError, match=words):
            load_clip(ARCH, file)


@pytest.mark.parametrize(
    ("changes", "images", "message"),
    [
        ({"embed_dim": "x"}, {}, "embed_dim is 'x', which must be a whole number"),
        ({"vision_cfg.image_size": "big"}, {}, "vision_cfg.image_size is 'big', which must be"),
        ({"vision_cfg.image_size": 0}, {}, "vision_cfg.image_size is 0, which must be a whole number, at least 1"),
        ({"text_cfg.context_length": 16.5}, {}, "text_cfg.context_length is 16.5, which must be"),
        ({}, {"mean": "x"}, "preprocess_cfg.mean is 'x', not three numbers"),
        ({}, {"std": [0, 0, 0]}, "preprocess_cfg.std is 0, 0, 0, and channels go from 0 to 1"),
        ({}, {"mean": [123.7, 116.8, 103.9]}, "preprocess_cfg.mean is 123.7, .* divide by 255 what is of bytes"),
        ({}, {"interpolation": "nearest"}, "preprocess_cfg.interpolation is 'nearest', not bicubic or bilinear or"),
        ({}, {"resize_mode": "crop"}, "preprocess_cfg.resize_mode is 'crop', not shortest or longest or squash"),
    ],
)
def test_a_setting_that_can_not_be_is_named(
    changes: dict[str, Any], images: dict[str, Any], message: str, folder: Path
) -> None:
    write_config(folder, changes)
    config = json.loads((folder / "open_clip_config.json").read_text())
    (folder / "open_clip_config.json").write_text(json.dumps(config | {"preprocess_cfg": IMAGES | images}))
    with pytest.raises(ConfigError, match=f"{folder}/open_clip_config.json: {message}"):
        load_clip(f"local-dir:{folder}")


def test_one_number_stands_for_every_channel(folder: Path) -> None:
    config = json.loads((folder / "open_clip_config.json").read_text())
    image = Image.effect_noise((90, 40), 80).convert("RGB")
    of_three = load_clip(f"local-dir:{folder}").preprocess(image)
    (folder / "open_clip_config.json").write_text(json.dumps(config | {"preprocess_cfg": IMAGES | {"mean": 0.5}}))
    assert torch.equal(load_clip(f"local-dir:{folder}").preprocess(image), of_three)


def test_a_file_in_place_of_a_folder_is_named(folder: Path) -> None:
    with pytest.raises(ConfigError, match="names a file, and a folder is needed: give it as --pretrained"):
        load_clip(f"local-dir:{folder}/open_clip_pytorch_model.bin")


def test_a_config_of_another_model_is_refused(folder: Path) -> None:
    file = str(folder / "open_clip_pytorch_model.bin")
    for name, value, words in (
        ("vision_cfg.layers", 24, "vision_cfg.layers is 24 there, 2 here"),
        ("vision_cfg.image_size", 96, "vision_cfg.image_size is 96 there, 48 here"),
        ("text_cfg.context_length", 77, "text_cfg.context_length is 77 there, 16 here"),
        ("quick_gelu", True, "quick_gelu is True there, None here"),
        ("text_cfg.hf_tokenizer_name", "other", "text_cfg.hf_tokenizer_name is 'other' there, None here"),
    ):
        write_config(folder, {name: value})
        with pytest.raises(ConfigError, match=f"is of another model than --model {ARCH}: {words}; leave out --model"):
            load_clip(ARCH, file)
    (folder / "open_clip_config.json").write_text("[]")
    with pytest.raises(ConfigError, match="no config of open_clip's"):
        load_clip(ARCH, file)


def test_sizes_are_those_that_open_clip_would_force(folder: Path, tmp_path: Path) -> None:
    file = str(folder / "open_clip_pytorch_model.bin")
    (folder / "open_clip_config.json").unlink()
    theirs = open_clip.create_model(ARCH, file, force_image_size=72, force_context_length=9)
    clip = load_clip(ARCH, file, image_size=72, context_length=9)
    assert clip.weights_hash != load_clip(ARCH, file).weights_hash
    assert clip.preprocess_hash != load_clip(ARCH, file).preprocess_hash
    pixels, tokens = clip.preprocess(Image.new("RGB", (90, 60)))[None], clip.tokenize(["a red circle, and more " * 9])
    assert (pixels.shape, tokens.shape) == ((1, 3, 72, 72), (1, 9))
    with torch.inference_mode():
        torch.testing.assert_close(clip.model.encode_image(pixels), theirs.encode_image(pixels))  # type: ignore[operator]
        torch.testing.assert_close(clip.model.encode_text(tokens), theirs.encode_text(tokens))  # type: ignore[operator]
    torch.save(theirs.state_dict(), tmp_path / "large.pt")
    assert load_clip(ARCH, f"{tmp_path}/large.pt", image_size=72, context_length=9).weights_hash == clip.weights_hash
    with pytest.raises(ConfigError, match="positions for 37 patches, the architecture 17; see --image-size"):
        load_clip(ARCH, f"{tmp_path}/large.pt")


def test_of_a_folder_open_clips_own_file_is_used(tmp_path: Path) -> None:
    draw = random.Random(0)
    names = ["open_clip_model.safetensors", "open_clip_pytorch_model.bin", "model.safetensors", "model.pth", "b.pth"]
    names += ["a.safetensors", "z.safetensors", "epoch_2.pth", "epoch_10.pth", "c.bin", "pytorch_model.bin", "w.pt"]
    for number in range(200):
        there = draw.sample(names, draw.randint(1, 6))
        folder = tmp_path / str(number)
        folder.mkdir()
        for name in there:
            (folder / name).touch()
        theirs = open_clip.factory._find_checkpoint_in_dir(folder)
        chosen = choose_weights([*there, "README.md", "._a.safetensors"])
        if theirs:
            assert chosen is not None
            assert chosen[0] == Path(theirs).name, there
        else:
            assert chosen == ("w.pt", [])
    assert choose_weights(["epoch_9.pt", "epoch_10.pt"]) == ("epoch_10.pt", ["epoch_9.pt"])
    assert choose_weights(["epoch_9.pt", "epoch_latest.pt"]) == ("epoch_latest.pt", ["epoch_9.pt"])
    assert part_names("m-00001-of-00000.bin") == ["m-00001-of-00000.bin"]
    assert part_names("m-2-of-3.bin") == [f"m-{number}-of-3.bin" for number in (1, 2, 3)]


def test_a_config_differs_from_no_other_spelling_of_itself() -> None:
    for name in open_clip.list_models():
        config = open_clip.get_model_config(name)
        other = deepcopy(config) | {"quick_gelu": config.get("quick_gelu", False), "custom_text": True}
        other["vision_cfg"] = {"patch_dropout": 0.5, "qk_norm": False, "act_kwargs": None, **other["vision_cfg"]}
        assert config_difference(json.loads(json.dumps(other)), config) == "", name
