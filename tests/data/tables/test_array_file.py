"""Arrays with a checksum: numpy reads them too, and files of earlier versions are read."""

import io
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from datascaler.data.tables.array_file import encode_array, read_array
from datascaler.errors import BadInputError, DamagedError
from datascaler.score.embeddings.npz_rows import open_vectors
from tests.limits import within

ARRAY = np.arange(12, dtype=np.int64).reshape(3, 4)


def test_numpy_and_we_read_each_others(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(encode_array(ARRAY))
    assert np.array_equal(np.load(path), ARRAY)
    assert np.array_equal(read_array(str(path)), ARRAY)
    np.save(path, ARRAY)
    assert np.array_equal(read_array(str(path)), ARRAY)


@pytest.mark.parametrize("cut", [0, 5, 40, 150, -5])
def test_a_file_that_was_cut_is_refused(cut: int, tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(encode_array(ARRAY)[:cut])
    with pytest.raises(DamagedError, match=r"a\.npy is not a readable \.npy file .*: remove it"):
        read_array(str(path))


@pytest.mark.parametrize("shape", [(1 << 40,), (1 << 20, 1 << 20), (1 << 62, 8), (-1, -(1 << 40)), (13,)])
def test_a_header_that_announces_more_than_is_there_is_refused(shape: tuple[int, ...], tmp_path: Path) -> None:
    content = io.BytesIO()
    np.lib.format.write_array_header_2_0(content, {"descr": "<f8", "fortran_order": False, "shape": shape})
    (tmp_path / "a.npy").write_bytes(content.getvalue() + bytes(96))
    with within():
        with pytest.raises(DamagedError, match=r"its header announces .* bytes, 96 are there|not a readable"):
            read_array(f"{tmp_path}/a.npy")
        with ExitStack() as stack, pytest.raises(BadInputError):
            open_vectors(stack, f"{tmp_path}/a.npy")
