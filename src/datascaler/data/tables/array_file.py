"""Arrays that one piece of work leaves for others: .npy files that numpy reads as they are, with a checksum behind."""

import io
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from datascaler import storage
from datascaler.data.tables.npy_files import load_npy, read_npy_header, require_there
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
        array = load_npy(file)
    except MemoryError:
        raise
    except Exception as error:  # a damaged header is parsed as Python, and may fail in any way
        raise DamagedError(f"{url} is not a readable .npy file ({first_line(error)}): remove it") from error
    checksum = file.read()
    if checksum and checksum != _checksum(content[:-_CHECKSUM_BYTES]):
        raise DamagedError(f"{url} is damaged: its content does not fit its checksum; remove it to have it made anew")
    return array


def _checksum(content: bytes) -> bytes:
    return crc32(content).to_bytes(_CHECKSUM_BYTES, "little")
