"""Hex digits <-> uids in bulk, for the subset formats that hold text."""

import numpy as np
from numpy.typing import NDArray

from datascaler.data.pool.uids import UID_DTYPE

UID_DIGITS = 32
_NOT_HEX = 255
_VALUES = np.full(256, _NOT_HEX, np.uint8)
_VALUES[list(b"0123456789")] = range(10)
_VALUES[list(b"abcdef")] = _VALUES[list(b"ABCDEF")] = range(10, 16)
_DIGITS = np.frombuffer(b"0123456789abcdef", np.uint8)
_BIG_ENDIAN = np.dtype(">u8,>u8")


def uids_of_digits(digits: NDArray[np.uint8]) -> tuple[NDArray[np.void], int | None]:
    """ASCII digits [n, 32] -> `u8,u8` [n], and the first row that is not hex, if there is one."""
    values = _VALUES[digits]
    wrong = np.flatnonzero((values == _NOT_HEX).any(axis=1))
    octets = np.ascontiguousarray((values[:, 0::2] << 4) | (values[:, 1::2] & 15))
    return octets.view(_BIG_ENDIAN).reshape(-1).astype(UID_DTYPE), int(wrong[0]) if len(wrong) else None


def digits_of_uids(uids: NDArray[np.void]) -> NDArray[np.uint8]:
    """`u8,u8` [n] -> lower-case ASCII digits [n, 32]."""
    octets = uids.astype(_BIG_ENDIAN).view(np.uint8).reshape(-1, UID_DIGITS // 2)
    digits = np.empty((len(uids), UID_DIGITS), np.uint8)
    digits[:, 0::2], digits[:, 1::2] = _DIGITS[octets >> 4], _DIGITS[octets & 15]
    return digits
