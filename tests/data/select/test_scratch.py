"""The scratch folder: gone at the end, and a full disk is said with the remedy."""

from pathlib import Path

import pytest

from datascaler.data.select.scratch import scratch_folder
from datascaler.errors import StorageError


def test_it_is_gone_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(ValueError, match="other"), scratch_folder() as folder:
        (folder / "file").write_bytes(b"x")
        assert folder.parent == tmp_path
        raise ValueError("other")
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_named_and_another_error_is_not_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with (
        pytest.raises(StorageError, match=f"no space is left for the temporary files in {tmp_path}: set TMPDIR"),
        scratch_folder(),
        Path("/dev/full").open("wb", buffering=0) as full,
    ):
        full.write(b"x")
    with pytest.raises(FileNotFoundError), scratch_folder() as folder:
        (folder / "missing").read_bytes()
