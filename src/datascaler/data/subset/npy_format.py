"""Subsets as `.npy`: DataComp's own form, `u8,u8`, with a header or as the raw records of a memmap."""

from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from datascaler import storage
from datascaler.data.pool.uids import UID_DTYPE
from datascaler.data.tables.npy_files import load_npy
from datascaler.errors import ConfigError


def write_npy(file: IO[bytes], uids: NDArray[np.void]) -> None:
    np.lib.format.write_array(file, uids, allow_pickle=False)


def read_npy(url: str) -> NDArray[np.void]:
    """The records as they lie in the file, mapped into memory: what is not looked at is not read."""
    with storage.local_copy(url) as path:
        with path.open("rb") as file:
            has_header = file.read(6) == b"\x93NUMPY"
        return _mapped(path) if has_header else _mapped_raw(path)


def _mapped(path: Path) -> NDArray[np.void]:
    try:
        uids = load_npy(path, mmap_mode="r")
    except (MemoryError, OSError):
        raise
    except Exception as error:  # a damaged header is parsed as Python, and may fail in any way
        raise ConfigError(f"not a readable .npy file ({error})") from error
    if uids.dtype != UID_DTYPE or uids.ndim != 1:
        raise ConfigError(f"expected one dimension of dtype u8,u8, found {uids.ndim} of {uids.dtype}")
    return np.asarray(uids)


def _mapped_raw(path: Path) -> NDArray[np.void]:
    """DataComp also accepts a memmap of 16-byte records without a header."""
    size = path.stat().st_size
    if not size or size % UID_DTYPE.itemsize:
        raise ConfigError(f"neither a .npy file nor raw 16-byte uids ({size} bytes)")
    return np.asarray(np.memmap(path, UID_DTYPE, mode="r"))
