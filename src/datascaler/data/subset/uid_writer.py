"""A subset's `.npy` written piece by piece: ascending uids in, each distinct one once, their number told at the end."""

from io import BytesIO
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from datascaler.data.pool.uids import UID_DTYPE
from datascaler.data.subset.multiset import first_of_each


class UidWriter:
    """A context; the file is complete when it ends."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._file.write(_header(0))
        self._last = np.empty(0, UID_DTYPE)
        self.written = 0

    def add(self, uids: NDArray[np.void]) -> None:
        """`u8,u8` [n], ascending, none below the last of the calls before."""
        if not len(uids):
            return
        new = first_of_each(uids)
        if len(self._last):
            new[0] = uids[0] != self._last[0]
        distinct = uids if new.all() else uids[new]
        self._file.write(np.ascontiguousarray(distinct).data)
        self._last = uids[-1:].copy()
        self.written += len(distinct)

    def __enter__(self) -> "UidWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        with self._file:
            if kind is None:
                self._file.seek(0)
                self._file.write(_header(self.written))


def _header(count: int) -> bytes:
    """The header of an .npy of `count` uids.

    It has one length for every count: numpy pads it to 64 bytes and leaves room for the first axis to grow.
    """
    described = {"descr": np.lib.format.dtype_to_descr(UID_DTYPE), "fortran_order": False, "shape": (count,)}
    header = BytesIO()
    np.lib.format.write_array_header_1_0(header, described)
    return header.getvalue()
