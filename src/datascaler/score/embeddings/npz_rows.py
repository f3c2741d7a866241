"""Arrays of vectors in .npz and .npy files, a block of rows at a time: DataComp's npz files hold 3 GB each."""

import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from datascaler import storage
from datascaler.data.tables.npy_files import read_npy_header, require_there
from datascaler.errors import BadInputError
from datascaler.tools.zip_archive import require_no_bomb

BLOCK_ROWS = 8192
_READ_AHEAD_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class VectorRows:
    """An array [rows, width] whose rows are still to be read."""

    url: str
    name: str
    file: IO[bytes]
    dtype: np.dtype[Any]
    rows: int
    width: int

    def first(self, rows: int) -> NDArray[Any]:
        """[at most `rows`, width]; what is read so is no more among the blocks."""
        return next(self._pieces(min(rows, self.rows), rows), np.empty((0, self.width), self.dtype))

    def blocks(self) -> Iterator[NDArray[Any]]:
        """All rows, [at most BLOCK_ROWS, width] at a time. Raises BadInputError where the file ends too early."""
        yield from self._pieces(self.rows, BLOCK_ROWS)

    def _pieces(self, rows: int, most: int) -> Iterator[NDArray[Any]]:
        for start in range(0, rows, most):
            shape = min(most, rows - start), self.width
            wanted = shape[0] * self.width * self.dtype.itemsize
            content = _readable(self.url, lambda wanted=wanted: self.file.read(wanted))
            if len(content) != wanted:
                raise BadInputError(f"{self.url}: {self.name} is cut off at row {start:,} of {self.rows:,}")
            yield np.frombuffer(content, self.dtype).reshape(shape).astype(self.dtype.newbyteorder("="), copy=False)


def open_vectors(stack: ExitStack, url: str, name: str | None = None) -> VectorRows:
    """The array `name` of an .npz, or its only one; of an .npy, its array. The file is open as long as `stack` is.

    Every array has a file of its own: several can be read in step, each with its own read-ahead.

    Raises NotFoundError, and BadInputError for a file that has no such array of floats in two dimensions.
    """
    file = stack.enter_context(storage.open_read(url, block_bytes=_READ_AHEAD_BYTES))
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if not url.endswith(".npy"):
        archive = stack.enter_context(_readable(url, lambda: _archive(file, size)))
        name = name or _only_array(archive, url)
        if f"{name}.npy" not in archive.namelist():
            raise BadInputError(f"{url} has no array {name!r}; it has {_arrays(archive)}")
        size = archive.getinfo(f"{name}.npy").file_size
        file = cast(IO[bytes], stack.enter_context(_readable(url, lambda: archive.open(f"{name}.npy"))))
    shape, fortran_order, dtype = _readable(url, lambda: _header(file, size))
    name = name or "the array"
    if len(shape) != 2 or dtype.kind != "f" or fortran_order:
        order = " in Fortran order" if fortran_order else ""
        raise BadInputError(f"{url}: {name} is {dtype} {list(shape)}{order}, expected floats [rows, width]")
    return VectorRows(url, name, file, dtype, *shape)


def _archive(file: IO[bytes], size: int) -> zipfile.ZipFile:
    archive = zipfile.ZipFile(file)
    require_no_bomb(archive, size)
    return archive


def _only_array(archive: zipfile.ZipFile, url: str) -> str:
    names = _arrays(archive)
    if "img" in names:
        return "img"
    if len(names) != 1:
        raise BadInputError(f"{url} has the arrays {names}: expected one, or one of the name img")
    return names[0]


def _arrays(archive: zipfile.ZipFile) -> list[str]:
    return [name.removesuffix(".npy") for name in archive.namelist()]


def _header(file: IO[bytes], size: int) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Raises ValueError where a file of this size has fewer bytes than its header announces."""
    header = read_npy_header(file)
    if header[2].kind == "f":
        require_there(*header, size)
    return header


def _readable(url: str, act: Any) -> Any:
    """The result of `act`; damage inside the file is a BadInputError."""
    try:
        with storage.translated_errors(url):
            return act()
    except (zipfile.BadZipFile, zlib.error, ValueError, EOFError) as error:
        raise BadInputError(f"{url} is not a readable .npz or .npy file ({error})") from error
