"""What a weights file announces, compared with what is in it, before torch or safetensors believe it.

torch takes memory by the numbers in a file, unpacks what is compressed, hashes whatever its pickle nests, and trusts
the length that the pickle gives a tensor's storage. So its pickles are read once without torch, where every name stands
for nothing and tensors are sizes only.
"""

import math
import os
import pickle
import zipfile
from collections.abc import Mapping
from io import BufferedReader
from pathlib import Path
from typing import IO, Any, ClassVar

from datascaler.errors import first_line
from datascaler.safe_text import printable, shown
from datascaler.tools.plain_pickle import Dispatch, PlainUnpickler, acts_at
from datascaler.tools.zip_archive import require_no_bomb

LARGEST_HEADER_BYTES = 8 << 20
"""The header of a safetensors file has a name and a few numbers for each tensor."""
AGAIN = "copy or download it again"
"""What to do about a file that is cut or damaged."""
_SPARE_VALUES = 1 << 22
"""Values of a tensor that repeats those of its storage, such as a mask that was expanded."""
_ZIP, _PICKLE = b"PK\3\4", b"\x80"
_CALLED = frozenset({"torch", "builtins", "__builtin__", "collections", "_codecs"})
"""Packages whose functions those who read weights do call."""
_OLD_PICKLES = 5
"""PyTorch's old format has a magic number, a version, the machine, the content, and the keys of the storages behind."""
_VALUE_BYTES = {
    **dict.fromkeys(("Double", "Long", "ComplexFloat"), 8),
    **dict.fromkeys(("Float", "Int", "QInt32"), 4),
    **dict.fromkeys(("Half", "BFloat16", "Short"), 2),
    "ComplexDouble": 16,
}
"""Bytes of a value of each storage; those that are not here have values of one byte, or less."""


_NOT_TORCHS = {each[0] for each in (pickle.FRAME, pickle.BINUNICODE8, pickle.BINBYTES8, pickle.BYTEARRAY8)}
"""Words that torch does not write, and which take memory by a number."""


def check_weights(file: IO[bytes], *, is_safetensors: bool = False) -> None:
    """Raise ValueError for a weights file that would take other memory or time than its size says."""
    try:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        start = file.read(8)
        file.seek(0)
        if is_safetensors:
            _check_header(int.from_bytes(start, "little"), size)
        elif start.startswith(_ZIP):
            _check_archive(file, size)
        elif start.startswith(_PICKLE):
            _check_old(file, size)
        else:
            raise ValueError("it begins neither as an archive nor as a pickle of torch's")
    except MemoryError:
        raise
    except Exception as error:  # a malformed file may fail in any way
        raise ValueError(f"no sound weights file: {first_line(error)}; {AGAIN}") from error
    finally:
        file.seek(0)


def check_weights_file(path: Path, *, is_safetensors: bool) -> None:
    """The same of a file on this machine."""
    with path.open("rb") as file:
        check_weights(file, is_safetensors=is_safetensors)


def _check_header(announced: int, size: int) -> None:
    if announced > min(LARGEST_HEADER_BYTES, size):
        raise ValueError(
            f"its header announces {announced:,} bytes; the file has {size:,}, and more than {LARGEST_HEADER_BYTES:,} "
            "are not read"
        )


def _check_archive(file: IO[bytes], size: int) -> None:
    with zipfile.ZipFile(file) as archive:
        require_no_bomb(archive, size)
        sizes = {part.filename: part.file_size for part in archive.infolist()}
        for name in sizes:
            if name.endswith("data.pkl"):
                folder = name.removesuffix(".pkl") + "/"
                storages = {path.removeprefix(folder): size for path, size in sizes.items() if path.startswith(folder)}
                # The unpickler reads byte by byte, which is quick from a buffer of C's.
                with archive.open(name) as part, BufferedReader(part) as content:  # type: ignore[type-var]
                    _Announced(content, sizes[name], storages).load()


def _check_old(file: IO[bytes], size: int) -> None:
    storages: dict[str, int] = {}
    for _ in range(_OLD_PICKLES):
        if file.tell() < size:
            _Announced(file, size, None, storages).load()
    if sum(storages.values()) > size:
        raise ValueError(f"its tensors announce {sum(storages.values()):,} bytes, in a file of {size:,}")


class _Announced(PlainUnpickler):
    """Reads a pickle for what it announces. storages: bytes by key where they are parts of an archive."""

    dispatch: ClassVar[Dispatch] = PlainUnpickler.dispatch | acts_at(("BINPERSID",))
    dispatch = {code: act for code, act in dispatch.items() if code not in _NOT_TORCHS}

    def __init__(
        self, file: IO[bytes], size: int, storages: Mapping[str, int] | None, announced: dict[str, int] | None = None
    ) -> None:
        super().__init__(file, encoding="utf-8", errors="replace")
        self.memo = _Memo(size)
        self._storages, self._announced = storages, announced if announced is not None else {}

    def find_class(self, module: str, name: str) -> Any:
        is_called = module.partition(".")[0] in _CALLED
        return _STANDS_FOR.get((module, name)) or _Name(name, is_called=is_called)

    def persistent_load(self, pid: Any) -> Any:
        """A tensor's storage: its kind, type, key, device and length."""
        if not isinstance(pid, list) or pid[:1] != ["storage"]:
            return _Name("")
        _, kind, key, _, values, *_ = pid
        if values < 0:
            raise ValueError(f"the storage {shown(key)} has {values} values")
        size = values * _VALUE_BYTES.get(kind.name.removesuffix("Storage"), 0 if kind.name.endswith("x2Storage") else 1)
        there = None if self._storages is None else self._storages.get(key, 0)
        if there is not None and size > there:
            raise ValueError(f"the storage {shown(key)} announces {size:,} bytes, {there:,} are there")
        self._announced[key] = size
        return _Storage(values)

    def _new(self) -> None:
        arguments, kind = self.stack.pop(), self.stack.pop()
        self.append(kind(*arguments))

    dispatch[pickle.NEWOBJ[0]] = _new


class _Memo(dict[int, Any]):
    """Python's unpickler in C, and others, have a place for each number up to the greatest."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def __setitem__(self, number: int, value: Any) -> None:
        if number > self._most:
            raise ValueError(f"its memo announces {number:,} places")
        super().__setitem__(number, value)


class _Storage:
    def __init__(self, values: int) -> None:
        self.values = values


class _Name:
    """Stands in for every class and function that a pickle names, and for what they make."""

    def __init__(self, name: str, *, is_called: bool = False) -> None:
        self.name, self._is_called = name, is_called

    def __call__(self, *arguments: Any) -> "_Name":
        if not self._is_called:
            return _Name("")
        match arguments:
            case [_Storage() as storage, int(), [*sizes], *_]:
                if math.prod(sizes) > max(storage.values, _SPARE_VALUES):
                    raise ValueError(f"a tensor of {math.prod(sizes):,} values lies in a storage of {storage.values:,}")
            case _:
                numbers = [each for each in arguments if isinstance(each, int)]
                if math.prod(numbers) > _SPARE_VALUES:
                    raise ValueError(f"{printable(self.name[:40])} is to have {math.prod(numbers):,} values")
        return _Name("")

    def __setstate__(self, state: Any) -> None:
        pass

    def _ignore(self, *_: Any) -> None:
        pass

    append = extend = add = __setitem__ = _ignore


class _Dict(dict[Any, Any]):
    def __setstate__(self, state: Any) -> None:
        pass


class _Set(set[Any]):
    def __setstate__(self, state: Any) -> None:
        pass


def _default_dict(*arguments: Any) -> _Dict:
    return _Dict(*arguments[1:])


_STANDS_FOR: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): _Dict,
    ("collections", "Counter"): _Dict,
    ("collections", "defaultdict"): _default_dict,
    **{(module, "set"): _Set for module in ("builtins", "__builtin__")},
}
"""What holds others keeps them; lists in the place of tuples are refused as keys, because nothing can hash them."""
