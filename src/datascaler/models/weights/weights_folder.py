"""What lies in a folder with weights, or beside a weights file: which file is meant, and the settings it belongs to."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

from datascaler import storage
from datascaler.errors import ConfigError, NotFoundError
from datascaler.models.open_clip_parts import CLIPTextCfg, CLIPVisionCfg
from datascaler.models.weights.weights_form import TORCH_SUFFIXES
from datascaler.safe_text import shown

CONFIG = "open_clip_config.json"
TRANSFORMERS_IMAGES = "preprocessor_config.json"
"""What the transformers library writes of how images are made ready."""
_INTERPOLATIONS = {2: "bilinear", 3: "bicubic"}
"""The names of filters by the numbers that Pillow gives them."""
_IMAGE_CHOICES = {
    "interpolation": ("bicubic", "bilinear", "random"),
    "resize_mode": ("shortest", "longest", "squash"),
    "mode": ("RGB",),
}
"""What open_clip's transform knows."""
_PREFERRED = (
    *("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors"),
    *("open_clip_pytorch_model.bin", "open_clip_pytorch_model.pth"),
    *("model.safetensors", "pytorch_model.bin", "pytorch_model.pth", "model.pth"),
)
"""open_clip's own order."""
_OPEN_CLIPS = (".safetensors", ".bin", ".pth")
_PART = re.compile(r"(.+)-(\d{1,6})-of-(\d{1,6})(\.safetensors|\.bin)")
_MOST_PARTS = 1000
_INDEX = ".index.json"
_NUMBER = re.compile(r"\d+")
_NOT_COMPARED = {
    *("patch_dropout", "timm_drop", "timm_drop_path", "timm_model_pretrained", "hf_model_pretrained"),
    *("output_tokens", "custom_text", "init_logit_scale", "init_logit_bias", "block_type"),
}
"""Settings of training, and of how a model is written, that change no feature of given weights."""


@dataclass(frozen=True, slots=True)
class Beside:
    """The open_clip_config.json that lies beside a weights file."""

    url: str
    model: Mapping[str, Any]
    images: Mapping[str, Any]


def read_config(folder: str) -> Beside | None:
    """None where there is none. Raises ConfigError for one that is not open_clip's."""
    url = storage.join(folder, CONFIG)
    try:
        content = storage.read_json(url)
    except NotFoundError:
        return None
    model = content.get("model_cfg", content) if isinstance(content, dict) else None
    images = content.get("preprocess_cfg") or {} if isinstance(content, dict) else {}
    if not isinstance(model, dict) or not isinstance(images, dict):
        raise ConfigError(f"{url} is no config of open_clip's: it holds no model_cfg")
    if not all(isinstance(model.get(tower), dict) for tower in ("vision_cfg", "text_cfg")):
        raise ConfigError(f"{url} is no config of open_clip's: its model_cfg has no vision_cfg and text_cfg")
    for name, value in (
        ("embed_dim", model.get("embed_dim")),
        ("vision_cfg.image_size", model["vision_cfg"].get("image_size")),
        ("text_cfg.context_length", model["text_cfg"].get("context_length")),
        ("text_cfg.vocab_size", model["text_cfg"].get("vocab_size")),
    ):
        numbers = value if isinstance(value, list) and name.endswith("image_size") else [value]
        if value is not None and not all(type(each) is int and each > 0 for each in numbers):
            raise ConfigError(f"{url}: {name} is {shown(value)}, which must be a whole number, at least 1")
    for name, choices in _IMAGE_CHOICES.items():
        if images.get(name) not in (None, *choices):
            raise ConfigError(f"{url}: preprocess_cfg.{name} is {shown(images[name])}, not {' or '.join(choices)}")
    for name in ("mean", "std"):
        _require_channels(f"{url}: preprocess_cfg.{name}", name, images.get(name))
    return Beside(url, model, images)


def read_transformers_images(folder: str, image_size: int | Sequence[int]) -> dict[str, Any]:
    """The image settings in a folder that has no open_clip_config.json, as open_clip names them; empty without any.

    Raises ConfigError where they are for images of another size than the model's.
    """
    url = storage.join(folder, TRANSFORMERS_IMAGES)
    try:
        content = storage.read_json(url)
    except NotFoundError:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{url} holds no image settings: remove it, or write it anew")
    is_cropped = content.get("do_center_crop", False)
    size = _side(content.get("crop_size") if is_cropped else content.get("size"))
    if size and image_size not in (size, [size, size], (size, size)):
        raise ConfigError(f"{url} is of images of {size} pixels, and the model takes {image_size}: see --image-size")
    found = {
        "mean": content.get("image_mean"),
        "std": content.get("image_std"),
        "interpolation": _INTERPOLATIONS.get(content.get("resample", 3)),
        "resize_mode": "shortest" if is_cropped else "squash",
    }
    for name in ("mean", "std"):
        _require_channels(f"{url}: image_{name}", name, found[name])
    return {name: value for name, value in found.items() if value}


def _require_channels(place: str, name: str, values: Any) -> None:
    """Raise ConfigError for a mean or deviation of the channels of images, which are from 0 to 1, that can't be."""
    if values is None or values == []:
        return
    values = [values] * 3 if isinstance(values, int | float) else values
    if not (isinstance(values, list) and len(values) == 3 and all(isinstance(each, int | float) for each in values)):
        raise ConfigError(f"{place} is {shown(values)}, not three numbers")
    if not all((each > 0 or name == "mean") and 0 <= each <= 1 for each in values):
        said = ", ".join(map(shown, values))
        raise ConfigError(f"{place} is {said}, and channels go from 0 to 1: divide by 255 what is of bytes")


def _side(size: Any) -> int:
    """The side that 224, {"shortest_edge": 224} or {"height": 224, "width": 224} says; 0 where it is none of these."""
    sides = set(size.values()) if isinstance(size, dict) else {size}
    side = sides.pop() if len(sides) == 1 else 0
    return side if isinstance(side, int) else 0


def config_difference(found: Mapping[str, Any], expected: Mapping[str, Any]) -> str:
    """The first setting in which two model configs make other features, in words; empty where they make the same."""
    for tower, kind in (("", None), ("vision_cfg", CLIPVisionCfg), ("text_cfg", CLIPTextCfg)):
        mine, theirs = (config.get(tower) or {} if tower else config for config in (found, expected))
        usual = {each.name: each.default for each in fields(kind) if each.default is not MISSING} if kind else {}
        for name in sorted({*mine, *theirs} - {"vision_cfg", "text_cfg"} - _NOT_COMPARED):
            a, b = (config.get(name, usual.get(name)) or None for config in (mine, theirs))
            if a != b and not (isinstance(a, list | tuple) and isinstance(b, list | tuple) and list(a) == list(b)):
                return f"{tower}{tower and '.'}{name} is {shown(a)} there, {shown(b)} here"
    return ""


def choose_weights(names: Sequence[str]) -> tuple[str, list[str]] | None:
    """The weights file of a folder that counts, and the others; None without any.

    open_clip's own choice, and where it knows none of the files, the last epoch of a training loop.
    """
    there = sorted(name for name in names if not name.startswith("."))
    found = [name for name in there if name.endswith(_OPEN_CLIPS)]
    if found:
        found.sort(key=lambda name: (_rank(name), not name.endswith(".safetensors")))
    else:
        found = sorted((name for name in there if name.endswith(TORCH_SUFFIXES)), key=_epoch, reverse=True)
    if not found:
        return None
    same = set(part_names(found[0]))
    return found[0], [name for name in found[1:] if name not in same]


def is_chosen_by_chance(name: str, others: Sequence[str]) -> bool:
    """Whether nothing but the order of letters speaks for this file, before others of the folder."""
    return bool(others) and name not in _PREFERRED and name.endswith(_OPEN_CLIPS)


def part_names(name: str) -> list[str]:
    """The files of the model that a part belongs to, in order; a file that is no part is alone."""
    found = _PART.fullmatch(name)
    if not found or not 1 <= int(found[3]) <= _MOST_PARTS:
        return [name]
    stem, digits, count, suffix = found[1], len(found[2]), found[3], found[4]
    return [f"{stem}-{number:0{digits}d}-of-{count}{suffix}" for number in range(1, int(count) + 1)]


@contextmanager
def weights_on_disk(url: str) -> Iterator[list[Path]]:
    """The weights file on this machine; all parts where it is one of several, or the list of them.

    Raises ConfigError where a part is missing.
    """
    folder, name = storage.parent(url), storage.basename(url)
    names = _listed_parts(url) if name.endswith(_INDEX) else part_names(name)
    with ExitStack() as opened:
        files = []
        for number, part in enumerate(names, start=1):
            try:
                files.append(
                    opened.enter_context(storage.local_copy(storage.join(folder, part) if part != name else url))
                )
            except NotFoundError as error:
                if len(names) == 1:
                    raise
                raise ConfigError(
                    f"{url} is a part of a model in {len(names)} files, and file {number}, {part}, is not beside it"
                ) from error
        yield files


def _listed_parts(url: str) -> list[str]:
    content = storage.read_json(url)
    places = content.get("weight_map") if isinstance(content, dict) else None
    names = set(map(str, places.values())) if isinstance(places, dict) else set()
    if not 1 <= len(names) <= _MOST_PARTS or any("/" in each for each in names):
        raise ConfigError(f"{url} lists no files of weights")
    return sorted(names)


def _rank(name: str) -> int:
    return _PREFERRED.index(name) if name in _PREFERRED else len(_PREFERRED)


def _epoch(name: str) -> tuple[bool, list[int]]:
    """Where a file stands in a training run: by the numbers in its name, and `latest` behind them all."""
    return "latest" in name, [int(each[0]) for each in _NUMBER.finditer(name)]
