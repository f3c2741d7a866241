"""Reading somebody else's `.pkl`: sets, lists and dicts of texts, or an array, and nothing else.

Naming numpy's own types would not be safe: `numpy.ndarray` called with dtype object and a buffer follows whatever
addresses the buffer holds. So arrays are taken apart by inert stand-ins, and only bytes of dtype `u8,u8` become one.
"""

from pathlib import PurePosixPath
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from datascaler.data.pool.uids import UID_DTYPE
from datascaler.errors import ConfigError, first_line
from datascaler.safe_text import printable, shown
from datascaler.tools.plain_pickle import PlainUnpickler


class _Dtype:
    """Stands in for `numpy.dtype(code, align, copy)`, then told its byte order and fields."""

    def __init__(self, code: str, *_: object) -> None:
        self.code = code
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def description(self, *, is_field: bool = False) -> object:
        """Byte order and code, or the fields by name, whose own fields nobody asks for."""
        _, order, _, names, fields, *_ = self.state
        if not names or is_field:
            return f"{order}{self.code}" if isinstance(order, str) and isinstance(self.code, str) else None
        return [(name, fields[name][0].description(is_field=True), fields[name][1]) for name in names]


class _Array:
    """Stands in for `_reconstruct(ndarray, (0,), b"b")`, then told its shape, dtype and bytes."""

    def __init__(self, *_: object) -> None:
        self.shape: Any = None
        self.dtype: Any = None
        self.content: Any = b""

    def __setstate__(self, state: Any) -> None:
        _, self.shape, self.dtype, _, self.content = state

    def uids(self) -> NDArray[np.void]:
        found = self.dtype.description()
        if found != [("f0", "<u8", 0), ("f1", "<u8", 8)] or len(self.shape) != 1:
            kind = found[:20] if isinstance(found, str) else "fields"
            raise ConfigError(f"expected an array of one dimension and dtype u8,u8, found {len(self.shape)} of {kind}")
        if not isinstance(self.content, bytes | bytearray):
            raise TypeError("the array's content is no bytes")
        return np.frombuffer(bytes(self.content), UID_DTYPE, count=self.shape[0])


class _BufferArray(_Array):
    """Stands in for `_frombuffer(buffer, dtype, shape, order)`, the form of protocol 5."""

    def __init__(self, content: Any, dtype: Any, shape: Any, *_: object) -> None:
        super().__init__()
        self.content, self.dtype, self.shape = content, dtype, shape


class _Bytes(bytes):
    """Stands in for `_codecs.encode(text, "latin1")`, which is how protocols 0 to 2 write bytes."""

    def __new__(cls, text: str, *_: object) -> "_Bytes":
        return super().__new__(cls, text.encode("latin1"))

    def __setstate__(self, state: Any) -> None:
        raise TypeError("bytes have no state")


class _Path(str):
    """Stands in for pathlib's paths, which are named with their parts: one text, that opens nothing."""

    def __new__(cls, *parts: str) -> "_Path":
        return super().__new__(cls, PurePosixPath(*parts))

    def __setstate__(self, state: Any) -> None:
        raise TypeError("paths have no state")


class _FrozenSet(list[Any]):
    """Stands in for `frozenset(items)`."""

    def __setstate__(self, state: Any) -> None:
        raise TypeError("frozen sets have no state")


_ALLOWED: dict[tuple[str, str], type] = {
    ("builtins", "set"): set,
    ("builtins", "frozenset"): _FrozenSet,
    ("_codecs", "encode"): _Bytes,
    **{
        (module, f"{kind}Path"): _Path
        for module in ("pathlib", "pathlib._local")
        for kind in ("Posix", "PurePosix", "Windows", "PureWindows")
    },
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy.core.numeric", "_frombuffer"): _BufferArray,
    ("numpy._core.numeric", "_frombuffer"): _BufferArray,
}
_LONGEST_NAME = 200


class _DataOnly(PlainUnpickler):
    """Knows sets and arrays, and refuses every other name."""

    def find_class(self, module: str, name: str) -> Any:
        module = {"__builtin__": "builtins"}.get(module, module)  # protocols 0 to 2 use Python 2's name
        if (module, name) not in _ALLOWED:
            named = printable(f"{module}.{name}"[:_LONGEST_NAME])
            raise ConfigError(f"refused: the pickle names {named}, which is no plain data")
        return _ALLOWED[module, name]


def load_data_pickle(file: IO[bytes]) -> Any:
    """The sets, lists, dicts and strings of a pickle, or its `u8,u8` array. Raises ConfigError for anything else."""
    try:
        content = _DataOnly(file).load()
        return content.uids() if isinstance(content, _Array) else content
    except (ConfigError, MemoryError):
        raise
    except KeyError as error:
        said = f"no {shown(error.args[0])} in it" if error.args else "KeyError"
        raise ConfigError(f"not a readable pickle ({said})") from error
    except Exception as error:  # a malformed pickle may fail in any way
        raise ConfigError(f"not a readable pickle ({type(error).__name__}: {first_line(error)})") from error
