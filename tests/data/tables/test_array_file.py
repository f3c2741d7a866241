"""Arrays with a checksum: numpy reads them too, and files of earlier versions are read."""

from pathlib import Path

import numpy as np
import pytest

from datascaler.data.tables.array_file import encode_array, read_array
from datascaler.errors import DamagedError

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
