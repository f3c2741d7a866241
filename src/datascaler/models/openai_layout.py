"""Weights files that open_clip does not read as they are, made into some that it does.

OpenAI released its CLIPs as TorchScript archives, or as state dicts with extra numbers. Such weights were trained with
QuickGELU, which nothing else in a file says: names and shapes are those of every ViT. And training loops save a state
dict below a name of their own, with the prefixes of what the model was wrapped in.
"""

import pickle
import re
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from datascaler import storage
from datascaler.errors import ConfigError, first_line
from datascaler.models.check_weights import check_weights_file

MARKS = ("input_resolution", "context_length", "vocab_size")
"""Numbers that OpenAI's state dicts hold beside the weights."""
_WRAPPERS = ("state_dict", "model", "model_state_dict", "module")
"""Names that people save a state dict under, beside the epoch and the optimizer."""
_COMPILED, _PREFIXES = "_orig_mod.", ("module.", "model.")
"""What torch.compile writes into names, and what distributed wrappers and training frameworks write before them."""
_MASK = "attn_mask"
"""The causal mask, which some archives hold; it follows from the architecture."""


@contextmanager
def readable_weights(file: Path) -> Iterator[tuple[Path, bool]]:
    """A file with the same weights that open_clip can read, and whether `file` is in OpenAI's layout.

    Raises ConfigError for an archive that holds more than modules and tensors, and ValueError for what `check_weights`
    refuses.
    """
    check_weights_file(file)
    weights = openai_weights(file)
    is_openai = weights is not None
    weights = weights or _unwrapped_weights(file)
    if weights is None:
        yield file, False
        return
    with storage.temporary_folder() as folder:
        plain = folder / "weights.safetensors"
        with storage.named_full_disk():
            save_file(weights, plain)
        yield plain, is_openai


def openai_weights(file: Path) -> dict[str, Tensor] | None:
    """The weights of a file in OpenAI's layout, without its extra numbers; None for every other file."""
    if is_torchscript(file):
        weights = _archive_weights(file)
    elif file.suffix == ".safetensors" or not set(MARKS) <= set(saved_shapes(file)):
        return None
    else:
        weights = _state_dict(torch.load(file, map_location="cpu", weights_only=True))
    return {
        name: value.contiguous()
        for name, value in weights.items()
        if isinstance(value, Tensor) and name not in MARKS and not name.endswith(_MASK)
    }


def _unwrapped_weights(file: Path) -> dict[str, Tensor] | None:
    """The weights of a file whose wrapper or prefixes open_clip does not know; None for every other file."""
    if file.suffix == ".safetensors":
        with safe_open(file, framework="pt") as opened:
            content: Any = dict.fromkeys(opened.keys())
    else:
        content = torch.load(file, map_location="meta", weights_only=True)
    if not isinstance(content, Mapping):
        return None
    # What open_clip finds: a state dict below this name or none, and one prefix of a distributed wrapper.
    inner = content.get("state_dict", content)
    if isinstance(inner, Mapping) and {str(name).removeprefix("module.") for name in inner} == set(
        _state_dict(content)
    ):
        return None
    loaded = load_file(file) if file.suffix == ".safetensors" else torch.load(file, "cpu", weights_only=True)
    # Of tied weights each needs memory of its own.
    return {name: value.clone() for name, value in _state_dict(loaded).items() if isinstance(value, Tensor)} or None


def is_torchscript(file: Path | IO[bytes]) -> bool:
    if not zipfile.is_zipfile(file):
        return False
    with zipfile.ZipFile(file) as archive:
        # torch's own rule: a file of torch.save has no constants.
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def saved_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Name -> shape of the tensors in a weights file, without their bytes; empty for a kind that isn't known."""
    if path.suffix == ".safetensors":
        with safe_open(path, framework="pt") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    if path.suffix not in (".pt", ".pth", ".bin"):
        return {}
    content = _state_dict(torch.load(path, map_location="meta", weights_only=True))
    return {name: tuple(value.shape) for name, value in content.items() if isinstance(value, Tensor)}


def _state_dict(content: Any) -> dict[str, Any]:
    """The state dict, alone or beside others, without the prefixes of what the model was wrapped in."""
    while isinstance(content, Mapping):
        inner = next((content[name] for name in _WRAPPERS if isinstance(content.get(name), Mapping)), None)
        if inner is None:
            break
        content = inner
    if not isinstance(content, Mapping):
        return {}
    named = {str(name).replace(_COMPILED, "").removeprefix("module."): value for name, value in content.items()}
    while prefix := next((each for each in _PREFIXES if named and all(name.startswith(each) for name in named)), None):
        named = {name.removeprefix(prefix): value for name, value in named.items()}
    return named


def _archive_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a TorchScript archive by name. Its code is not run: loading it with torch would do so."""
    with zipfile.ZipFile(path) as archive:
        try:
            (main,) = (name for name in archive.namelist() if re.fullmatch("[^/]+/data.pkl", name))
            with archive.open(main) as file:
                return dict(_tensors(_ArchiveReader(file, archive, main.removesuffix("data.pkl")).load(), "", set()))
        except Exception as error:  # a pickle of anybody's can fail in any way
            raise ConfigError(f"this TorchScript archive can't be read: {first_line(error)}") from error


def _tensors(value: Any, name: str, seen: set[int]) -> list[tuple[str, Tensor]]:
    """Return each tensor with the path to it.

    A module that is in two places counts in the first: sixty such make more paths than end.
    """
    if isinstance(value, Tensor):
        return [(name, value)]
    if not isinstance(value, _Inert) or id(value) in seen:
        return []
    seen.add(id(value))
    prefix = name and name + "."
    return [found for key, child in value.attributes.items() for found in _tensors(child, prefix + key, seen)]


class _Inert:
    """Stands in for every module class of an archive, and for what else it names: keeps attributes, does nothing."""

    attributes: Mapping[str, Any] = MappingProxyType({})

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, dict):
            self.attributes = state


class _ArchiveReader(pickle.Unpickler):
    def __init__(self, file: IO[bytes], archive: zipfile.ZipFile, folder: str) -> None:
        super().__init__(file)
        self._archive, self._folder = archive, folder
        self._storages: dict[str, Tensor] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return self._tensor
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch" and name.endswith("Storage"):
            return name
        return _Inert

    def persistent_load(self, pid: Any) -> Tensor:
        """All elements of a storage, flat; `pid` is its kind, type, file, device and length."""
        _, storage, key, _, length = pid
        dtype = getattr(torch, storage.removesuffix("Storage").lower())
        if key not in self._storages:
            content = bytearray(self._archive.read(f"{self._folder}data/{key}"))
            whole = torch.frombuffer(content, dtype=torch.uint8) if content else torch.empty(0, dtype=torch.uint8)
            self._storages[key] = whole
        return self._storages[key][: length * dtype.itemsize].view(dtype)

    @staticmethod
    def _tensor(storage: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: object) -> Tensor:
        return storage.as_strided(size, stride, offset)
