""".npy files, opened by one thread at a time: numpy parses their headers as Python literals."""

import math
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from numpy.typing import NDArray

from datascaler.tools.python_literals import PARSING


def load_npy(file: Path | IO[bytes], mmap_mode: Literal["r"] | None = None) -> NDArray[Any]:
    """What `numpy.load` gives and raises, without pickles; ValueError for an archive of arrays."""
    with PARSING:
        array = np.load(file, mmap_mode, allow_pickle=False)
    if not isinstance(array, np.ndarray):
        raise ValueError("an archive of arrays, where one array is expected")
    return array


def read_npy_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether it is in Fortran order, and dtype, from the file's beginning. Raises ValueError for no header."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    with PARSING:
        return read(file)


def require_there(shape: tuple[int, ...], _: bool, dtype: np.dtype[Any], size: int) -> None:
    """Raise ValueError unless `size` bytes are enough for what a header announces: it may be any number."""
    announced = math.prod(shape) * dtype.itemsize
    if announced > size or min(shape, default=0) < 0:
        raise ValueError(f"its header announces {announced:,} bytes, {size:,} are there")
