"""A subset's .npy in pieces is the file that numpy writes in one."""

from pathlib import Path

import numpy as np
import pytest

from datascaler.data.pool.uids import uid_array
from datascaler.data.subset.uid_writer import UidWriter
from tests.data.made_tables import uids_of


@pytest.mark.parametrize("count", [0, 1, 1000])
def test_the_file_is_numpys_own(tmp_path: Path, count: int) -> None:
    uids = uid_array(sorted(uids_of(count)))
    with UidWriter(tmp_path / "pieces.npy") as writer:
        for start in range(0, count + 7, 7):
            writer.add(uids[start : start + 7])
    np.save(tmp_path / "whole.npy", uids)
    assert writer.written == count
    assert (tmp_path / "pieces.npy").read_bytes() == (tmp_path / "whole.npy").read_bytes()


def test_a_uid_is_written_once_wherever_the_pieces_end(tmp_path: Path) -> None:
    first, second, third = sorted(uids_of(3))
    with UidWriter(tmp_path / "a.npy") as writer:
        for piece in ([first, first], [], [first], [first, second, second], [third], [third, third]):
            writer.add(uid_array(piece))
    assert np.array_equal(np.load(tmp_path / "a.npy"), uid_array([first, second, third]))
    assert writer.written == 3


def test_an_error_leaves_a_file_that_claims_no_uid(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="stop"), UidWriter(tmp_path / "a.npy") as writer:
        writer.add(uid_array(uids_of(1)))
        raise RuntimeError("stop")
    assert len(np.load(tmp_path / "a.npy")) == 0
