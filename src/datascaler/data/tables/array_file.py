"""Arrays that one piece of work leaves for others: .npy files that numpy reads as they are, with a checksum behind."""

import io
import math
from typing import IO, Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from datascaler import storage
from datascaler.errors import DamagedError, first_line

_CHECKSUM_BYTES = 4


def encode_array(array: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    content = buffer.getvalue()
    return content + _checksum(content)


def read_array(url: str) -> NDArray[Any]:
    """Raises DamagedError for what is not as it was written; a file of an earlier version has no checksum."""
    content = storage.read_bytes(url)
    file = io.BytesIO(content)
    try:
        require_there(*read_npy_header(file), len(content) - file.tell())
        file.seek(0)
        array: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
    except MemoryError:
        raise
    except Exception as error:  # a damaged header is parsed as Python, and may fail in any way
        raise DamagedError(f"{url} is not a readable .npy file ({first_line(error)}): remove it") from error
    checksum = file.read()
    if checksum and checksum != _checksum(content[:-_CHECKSUM_BYTES]):
        raise DamagedError(f"{url} is damaged: its content does not fit its checksum; remove it to have it made anew")
    return array


def read_npy_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether it is in Fortran order, and dtype, from the file's beginning. Raises ValueError for no header."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(file)


def require_there(shape: tuple[int, ...], _: bool, dtype: np.dtype[Any], size: int) -> None:
    """Raise ValueError unless `size` bytes are enough for what a header announces: it may be any number."""
    announced = math.prod(shape) * dtype.itemsize
    if announced > size or min(shape, default=0) < 0:
        raise ValueError(f"its header announces {announced:,} bytes, {size:,} are there")


def _checksum(content: bytes) -> bytes:
    return crc32(content).to_bytes(_CHECKSUM_BYTES, "little")
