"""Weights files that open_clip does not read as they are, made into one that it does.

OpenAI released its CLIPs as TorchScript archives, or as state dicts with extra numbers. Such weights were trained with
QuickGELU, which nothing else in a file says: names and shapes are those of every ViT. Training loops save a state dict
below a name of their own, beside settings and numbers, with the prefixes of what the model was wrapped in. Large models
are cut into parts.
"""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from datascaler import storage
from datascaler.errors import NoWeightsError
from datascaler.models.weights.check_weights import check_weights_file
from datascaler.models.weights.inert_archive import is_torchscript, read_archive
from datascaler.models.weights.weights_form import FileForm, form_of
from datascaler.safe_text import printable, shown

MARKS = ("input_resolution", "context_length", "vocab_size")
"""Numbers that OpenAI's state dicts hold beside the weights."""
_WRAPPERS = ("state_dict", "model", "model_state_dict", "module")
"""Names that people save a state dict under, beside the epoch and the optimizer."""
_AVERAGES = re.compile("ema|averaged|swa", re.IGNORECASE)
"""The name of weights that were averaged over the steps holds it."""
_COMPILED, _DISTRIBUTED = "_orig_mod.", "module."
"""What torch.compile writes into names, and what distributed wrappers write before them."""
_PREFIX = re.compile(r"(?!visual|text|transformer|vision_model|text_model)\w+\.")
"""What training frameworks write before every name: their own attribute that is the model. A tower's name is none."""
_PLAIN_NAMES = ("builtins.", "__builtin__.", "_codecs.", "torch._")
"""How the names begin of what any pickle may need."""
_MASK = "attn_mask"
"""The causal mask, which some archives hold; it follows from the architecture."""
_log = logging.getLogger(__name__)


@contextmanager
def readable_weights(files: Sequence[Path]) -> Iterator[tuple[Path, bool]]:
    """A file with the same weights that open_clip can read, and whether they were trained with OpenAI's QuickGELU.

    files: one, or the parts of one model.

    Raises NoWeightsError for a file that holds none that can be read safely, and ValueError for a damaged one.
    """
    forms = [form_of(file) for file in files]
    for file, form in zip(files, forms, strict=True):
        check_weights_file(file, is_safetensors=form == "safetensors")
    if len(files) == 1:
        weights, is_openai = _weights_of(files[0], forms[0])
    else:
        merged: dict[str, Any] = {}
        for file, form in zip(files, forms, strict=True):
            merged |= _below_wrappers(_loaded(file, form))
        weights, is_openai = _state_dict(merged), False
    if weights is None:
        yield files[0], is_openai
        return
    # Of tied weights each needs memory of its own.
    plain = {name: value.detach().clone().contiguous() for name, value in weights.items() if isinstance(value, Tensor)}
    if not plain:
        raise ValueError("it holds no tensors")
    with storage.temporary_folder() as folder:
        with storage.named_full_disk():
            save_file(plain, folder / "weights.safetensors")
        yield folder / "weights.safetensors", is_openai


def _weights_of(file: Path, form: FileForm) -> tuple[dict[str, Any] | None, bool]:
    """The weights, or None where open_clip finds them by itself, and whether they want QuickGELU."""
    if form == "archive" and is_torchscript(file):
        return openai_weights(file)
    if form == "safetensors":
        with safe_open(file, framework="pt") as opened:
            names: Any = dict.fromkeys(opened.keys())
        if file.suffix == ".safetensors" and _is_open_clips(names):
            return None, False
        return _state_dict(load_file(file)), False
    try:
        outline = _torch_load(file, "meta")
    except UnpicklingError as error:
        outline = _beside_others(file, form, error)
        _say_which(outline)
        return _state_dict(outline), False
    _say_which(outline)
    if not any(isinstance(value, Tensor) for value in _state_dict(outline).values()):
        parts = ", ".join(shown(name) for name in list(outline)[:5]) if isinstance(outline, Mapping) else ""
        raise NoWeightsError(f"it holds no weights, but {parts or 'nothing of a model'}")
    is_openai = set(MARKS) <= set(_state_dict(outline))
    if file.suffix != ".safetensors" and not is_openai and _is_open_clips(outline):
        return None, False
    weights = _state_dict(_torch_load(file, "cpu"))
    return {name: value for name, value in weights.items() if not (is_openai and _is_extra(name))}, is_openai


def openai_weights(file: Path) -> tuple[dict[str, Tensor], bool]:
    """The weights of a TorchScript archive without its extra numbers, and whether its modules have QuickGELU.

    Its code is not run: loading it with torch would do so.
    """
    try:
        archive = read_archive(file)
    except Exception as error:  # a pickle of anybody's can fail in any way
        raise ValueError(f"it is a TorchScript archive that can't be read: {_words(error)}") from error
    weights = {name: value for name, value in _state_dict(archive.tensors).items() if not _is_extra(name)}
    # OpenAI's own archives have the numbers; those that others traced have the class.
    is_openai = archive.has_class("QuickGELU") or set(MARKS) <= set(archive.tensors)
    return weights, is_openai


def saved_tensors(file: Path) -> dict[str, tuple[tuple[int, ...], torch.dtype | None]]:
    """Name -> shape and type of the tensors in a file that `readable_weights` gave, without their bytes."""
    if file.suffix == ".safetensors":
        with safe_open(file, framework="pt") as opened:
            parts = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118
            return {name: (tuple(part.get_shape()), _TYPES.get(part.get_dtype())) for name, part in parts.items()}
    content = _state_dict(_torch_load(file, "meta"))
    return {name: (tuple(value.shape), value.dtype) for name, value in content.items() if isinstance(value, Tensor)}


def has_bias(file: Path) -> bool:
    """Whether the weights in such a file have a bias of logits, which not every model is built with."""
    return "logit_bias" in saved_tensors(file)


_TYPES = {
    "I8": torch.int8,
    "U8": torch.uint8,
    "I16": torch.int16,
    "I32": torch.int32,
    "I64": torch.int64,
    "BOOL": torch.bool,
}
"""The names that safetensors has for numbers that are whole."""


def _loaded(file: Path, form: FileForm) -> Any:
    if form == "safetensors":
        return load_file(file)
    try:
        return _torch_load(file, "cpu")
    except UnpicklingError as error:
        return _beside_others(file, form, error)


def _torch_load(file: Path, device: str) -> Any:
    # Given a name, torch goes by its ending.
    with file.open("rb") as opened:
        return torch.load(opened, map_location=device, weights_only=True)


def _beside_others(file: Path, form: FileForm, error: UnpicklingError) -> Any:
    """What a file holds that names more than torch does, where its weights are a plain dict."""
    if form == "archive":
        archive = read_archive(file)
        weights = _state_dict(archive.content)
        if any(isinstance(value, Tensor) for value in weights.values()):
            return archive.content
        classes = [name for name in sorted(archive.names) if not name.startswith(_PLAIN_NAMES)]
        raise NoWeightsError(_no_plain(classes[0] if classes else "")) from error
    found = re.search(r"GLOBAL ([\w.]+)", str(error))
    raise NoWeightsError(_no_plain(found[1] if found else "")) from error


def _no_plain(name: str) -> str:
    objects = f"objects of {printable(name[:80])}" if name else "other objects"
    return f"it holds more than weights ({objects}), which is never run: give a file of the state dict alone"


def _is_open_clips(content: Any) -> bool:
    """Whether open_clip finds the weights by itself: below "state_dict" or alone, with one wrapper's prefix."""
    if not isinstance(content, Mapping):
        return False
    inner = content.get("state_dict", content)
    if not isinstance(inner, Mapping) or not inner:
        return False
    return {str(name).removeprefix(_DISTRIBUTED) for name in inner} == set(_state_dict(content))


def _state_dict(content: Any) -> dict[str, Any]:
    """The state dict, alone or beside others, without the prefixes of what the model was wrapped in."""
    content = _below_wrappers(content)
    named = {str(name).replace(_COMPILED, "").removeprefix(_DISTRIBUTED): value for name, value in content.items()}
    while prefix := _common_prefix(named):
        named = {name.removeprefix(prefix): value for name, value in named.items()}
    return named


def _below_wrappers(content: Any) -> Mapping[Any, Any]:
    """What a state dict was saved under is taken away; what is none becomes an empty one."""
    while isinstance(content, Mapping):
        inner = next((name for name in _WRAPPERS if isinstance(content.get(name), Mapping)), None)
        if inner is None:
            return content
        content = content[inner]
    return {}


def _say_which(content: Any) -> None:
    """Say which of two state dicts is used, where one is an average over the steps."""
    if not isinstance(content, Mapping):
        return
    names = [str(name) for name, value in content.items() if isinstance(value, Mapping)]
    used = next((name for name in _WRAPPERS if name in names), None)
    average = next((name for name in names if _AVERAGES.search(name)), None)
    if used and average:
        _log.warning("the file holds two states of the weights: %s is used, not %s", shown(used), shown(average))


def _common_prefix(names: Mapping[str, Any]) -> str:
    found = _PREFIX.match(next(iter(names), ""))
    return found[0] if found and len(names) > 1 and all(name.startswith(found[0]) for name in names) else ""


def _is_extra(name: str) -> bool:
    return name in MARKS or name.endswith(_MASK)


def _words(error: Exception) -> str:
    return printable(" ".join(str(error).split())[:200]) or type(error).__name__
