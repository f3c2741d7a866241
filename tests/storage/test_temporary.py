"""Temporary folders: what a killed process leaves behind is removed by the next one, what a living one holds stays."""

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from datascaler import storage
from datascaler.errors import StorageError

HOLD = """
import sys, time
from datascaler import storage
with storage.temporary_folder() as folder:
    (folder / "big").write_bytes(b"x")
    print(folder, flush=True)
    time.sleep(600)
"""


def test_the_folder_of_a_killed_process_goes_and_a_living_ones_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    theirs = tmp_path / "datascaler-of-somebody"
    theirs.mkdir()
    environment = {"TMPDIR": str(tmp_path), "PYTHONPATH": ":".join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", HOLD], stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        held = Path(process.stdout.readline().strip())
        with storage.temporary_folder() as first, storage.temporary_folder() as second:
            assert all(folder.is_dir() for folder in (held, first, second))
        process.send_signal(signal.SIGKILL)
    assert (held / "big").exists()
    with storage.temporary_folder() as folder:
        assert set(tmp_path.iterdir()) == {theirs, folder}
    assert list(tmp_path.iterdir()) == [theirs]


def test_nobody_removes_a_folder_that_is_about_to_be_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def write_and_read(_: int) -> bytes:
        with storage.temporary_folder() as folder:
            (folder / "file").write_bytes(b"x")
            return (folder / "file").read_bytes()

    with ThreadPoolExecutor(8) as executor:
        assert set(executor.map(write_and_read, range(2000))) == {b"x"}
    assert not list(tmp_path.iterdir())


def test_a_full_output_disk_is_not_mistaken_for_a_full_tmpdir() -> None:
    def fill() -> None:
        with Path("/dev/full").open("wb", buffering=0) as full:
            full.write(b"x")

    with (
        pytest.raises(StorageError, match=r"^s3://b/x: .*No space left"),
        storage.named_full_disk(),
        storage.translated_errors("s3://b/x"),
    ):
        fill()
    with pytest.raises(StorageError, match="no space is left for the temporary files"), storage.named_full_disk():
        try:
            fill()
        finally:
            raise RuntimeError("unexpected pos 12 vs 8")  # as torch's writer has it


def test_a_scratch_folder_is_gone_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(ValueError, match="other"), storage.scratch_folder() as folder:
        (folder / "file").write_bytes(b"x")
        assert folder.parent == tmp_path
        raise ValueError("other")
    assert not list(tmp_path.iterdir())


def test_a_full_disk_of_a_scratch_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with (
        pytest.raises(StorageError, match=f"no space is left for the temporary files in {tmp_path}: set TMPDIR"),
        storage.scratch_folder(),
        Path("/dev/full").open("wb", buffering=0) as full,
    ):
        full.write(b"x")
    with pytest.raises(FileNotFoundError), storage.scratch_folder() as folder:
        (folder / "missing").read_bytes()
