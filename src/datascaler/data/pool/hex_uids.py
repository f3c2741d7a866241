"""Hex digits <-> uids in bulk, from columns of text and for the subset formats that hold text."""

import binascii

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from datascaler.data.pool.uids import UID_DTYPE

UID_DIGITS = 32
_NOT_HEX = 255
_VALUES = np.full(256, _NOT_HEX, np.uint8)
_VALUES[list(b"0123456789")] = range(10)
_VALUES[list(b"abcdef")] = _VALUES[list(b"ABCDEF")] = range(10, 16)
_DIGITS = np.frombuffer(b"0123456789abcdef", np.uint8)
_BIG_ENDIAN = np.dtype(">u8,>u8")


def uids_of_column(column: pa.ChunkedArray) -> tuple[NDArray[np.void], NDArray[np.bool_]]:
    """Texts [n] -> `u8,u8` [n], and which of the texts are 32 hex digits [n]; the others have the uid zero.

    Raises pa.ArrowException for a column that can't be text.
    """
    texts = pa.concat_arrays(column.cast(pa.large_string()).chunks or [pa.array([], pa.large_string())])
    fits = pc.fill_null(pc.equal(pc.binary_length(texts), UID_DIGITS), False)
    is_uid = fits.to_numpy(zero_copy_only=False).copy()
    uids = np.zeros(len(texts), UID_DTYPE)
    _, _, buffer = pa.concat_arrays([texts.filter(fits)]).buffers()
    digits = np.frombuffer(buffer or b"", np.uint8)[: int(is_uid.sum()) * UID_DIGITS].reshape(-1, UID_DIGITS)
    found, is_hex = uids_of_digits(digits)
    uids[is_uid] = np.where(is_hex, found, np.zeros(1, UID_DTYPE))
    is_uid[is_uid] = is_hex
    return uids, is_uid


def uids_of_digits(digits: NDArray[np.uint8]) -> tuple[NDArray[np.void], NDArray[np.bool_]]:
    """ASCII digits [n, 32] -> `u8,u8` [n], and which rows are hex [n]; what the others give means nothing."""
    try:
        octets = np.frombuffer(binascii.unhexlify(np.ascontiguousarray(digits).data), np.uint8)
        is_hex = np.ones(len(digits), bool)
    except binascii.Error:  # it does not say where
        values = _VALUES[digits]
        octets = np.ascontiguousarray((values[:, 0::2] << 4) | (values[:, 1::2] & 15)).reshape(-1)
        is_hex = (values != _NOT_HEX).all(axis=1)
    return octets.view(_BIG_ENDIAN).astype(UID_DTYPE), is_hex


def digits_of_uids(uids: NDArray[np.void]) -> NDArray[np.uint8]:
    """`u8,u8` [n] -> lower-case ASCII digits [n, 32]."""
    octets = uids.astype(_BIG_ENDIAN).view(np.uint8).reshape(-1, UID_DIGITS // 2)
    digits = np.empty((len(uids), UID_DIGITS), np.uint8)
    digits[:, 0::2], digits[:, 1::2] = _DIGITS[octets >> 4], _DIGITS[octets & 15]
    return digits
