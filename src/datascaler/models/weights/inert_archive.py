"""Reading an archive of torch's whose pickle names other things than torch's, without importing or running any.

TorchScript archives are code; and training loops save settings, numbers of numpy's and objects of their own beside the
weights. Whatever is named stands for nothing here, but for tensors and what holds them.
"""

import pickle
import re
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

import torch
from torch import Tensor

_VALUES = {
    "Byte": torch.uint8,
    "Char": torch.int8,
    "Short": torch.int16,
    "Int": torch.int32,
    "Long": torch.int64,
    "Half": torch.float16,
    "BFloat16": torch.bfloat16,
    "Float": torch.float32,
    "Double": torch.float64,
    "Bool": torch.bool,
    "ComplexFloat": torch.complex64,
    "ComplexDouble": torch.complex128,
}
"""What a storage holds, by its name."""


@dataclass(frozen=True, slots=True)
class Archive:
    """What an archive holds. names: the classes and functions that stand for nothing, as `module.name`."""

    content: Any
    names: set[str]

    @property
    def tensors(self) -> dict[str, Tensor]:
        """Every tensor below the modules of a TorchScript archive, by the path to it."""
        return dict(_tensors(self.content, "", set()))

    def has_class(self, name: str) -> bool:
        """Whether a module of that class is in it; TorchScript mangles the path before a class's name."""
        return any(each.rpartition(".")[2] == name for each in self.names)


def read_archive(path: Path) -> Archive:
    """Raises whatever a malformed archive makes Python raise. Only `check_weights`, before, bounds what this takes."""
    with zipfile.ZipFile(path) as archive:
        (main,) = (name for name in archive.namelist() if re.fullmatch("[^/]+/data.pkl", name))
        with archive.open(main) as file:
            reader = _Reader(file, archive, main.removesuffix("data.pkl"))
            return Archive(reader.load(), reader.names)


def is_torchscript(file: Path | IO[bytes]) -> bool:
    if not zipfile.is_zipfile(file):
        return False
    with zipfile.ZipFile(file) as archive:
        # torch's own rule: a file of torch.save has no constants.
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


class Inert:
    """Stands in for every class and function that an archive names: keeps attributes, and does nothing."""

    attributes: Mapping[str, Any] = MappingProxyType({})

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, dict):
            self.attributes = state

    def _ignore(self, *_: object) -> None:
        pass

    append = extend = add = __setitem__ = _ignore


def _tensors(value: Any, name: str, seen: set[int]) -> list[tuple[str, Tensor]]:
    """Return each tensor with the path to it.

    A module that is in two places counts in the first: sixty such make more paths than end.
    """
    if isinstance(value, Tensor):
        return [(name, value)]
    if not isinstance(value, Inert) or id(value) in seen:
        return []
    seen.add(id(value))
    prefix = name and name + "."
    return [found for key, child in value.attributes.items() for found in _tensors(child, prefix + key, seen)]


class _Reader(pickle.Unpickler):
    def __init__(self, file: IO[bytes], archive: zipfile.ZipFile, folder: str) -> None:
        super().__init__(file, encoding="utf-8", errors="replace")
        self.names: set[str] = set()
        self._archive, self._folder = archive, folder
        self._storages: dict[str, Tensor] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return self._tensor
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return self._data
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch" and name.endswith("Storage"):
            return name
        self.names.add(f"{module}.{name}")
        return Inert

    def persistent_load(self, pid: Any) -> Tensor:
        """All elements of a storage, flat; `pid` is its kind, type, file, device and length."""
        _, storage, key, _, length = pid
        dtype = _VALUES[storage.removesuffix("Storage")]
        if key not in self._storages:
            content = bytearray(self._archive.read(f"{self._folder}data/{key}"))
            whole = torch.frombuffer(content, dtype=torch.uint8) if content else torch.empty(0, dtype=torch.uint8)
            self._storages[key] = whole
        return self._storages[key][: length * dtype.itemsize].view(dtype)

    @staticmethod
    def _tensor(storage: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: object) -> Tensor:
        return storage.as_strided(size, stride, offset)

    @staticmethod
    def _data(data: Tensor, *_: object) -> Tensor:
        return data
