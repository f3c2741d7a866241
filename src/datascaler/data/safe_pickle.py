"""Reading somebody else's `.pkl` subset without running what it says."""

import pickle
from typing import IO, Any

from datascaler.errors import ConfigError

_ALLOWED = {
    ("builtins", "set"),
    ("builtins", "frozenset"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy.core.numeric", "_frombuffer"),
    ("numpy._core.numeric", "_frombuffer"),
}


class _DataOnly(pickle.Unpickler):
    """Knows sets and arrays, and refuses every other name before it is imported."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise ConfigError(f"refused: the pickle names {module}.{name}, and a subset needs only sets and arrays")
        return super().find_class(module, name)


def load_data_pickle(file: IO[bytes]) -> Any:
    """The sets, lists, dicts, strings and numpy arrays of a pickle. Raises ConfigError for anything else."""
    try:
        return _DataOnly(file).load()
    except ConfigError:
        raise
    except Exception as error:  # a malformed pickle may fail in any way
        raise ConfigError(f"not a readable pickle ({type(error).__name__}: {error})") from error
