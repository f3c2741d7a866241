"""A run folder has one trainer at a time, whose end, of whatever kind, frees it."""

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from datascaler import storage
from datascaler.errors import StorageError, TryAgainError
from datascaler.train import lease
from datascaler.train.lease import Lease


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("RENEW", 0.3), ("EXPIRY", 2.0), ("PATIENCE", 0.5), ("POLL", 0.05)):
        monkeypatch.setattr(lease, f"_{name}_SECONDS", seconds)


@pytest.fixture(params=["disk", "s3"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "run") if request.param == "disk" else f"{request.getfixturevalue('s3_url')}/run"


def test_a_second_trainer_is_refused_by_name_until_the_first_ends(run: str) -> None:
    first, second = Lease(run), Lease(run)
    first.take()
    with pytest.raises(TryAgainError) as refused:
        second.take()
    said = str(refused.value)
    assert said.startswith(f"process {os.getpid()} on {socket.gethostname()} (since 20")
    assert f" trains in {run}: wait for its end or end it, or use another --output-dir" in said
    second.release()
    first.check()
    first.release()
    assert storage.list_files(run) == []
    second.take()
    second.check()
    second.release()


def test_one_that_waits_gets_it_when_the_first_ends(run: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "_PATIENCE_SECONDS", 60.0)
    first, second = Lease(run), Lease(run)
    first.take()
    ending = threading.Timer(0.5, first.release)
    ending.start()
    second.take()
    ending.join()
    second.release()


@pytest.mark.parametrize("where", ["disk", "s3"])
def test_a_killed_trainer_leaves_no_lease_behind(where: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    run = str(tmp_path / "run") if where == "disk" else f"{request.getfixturevalue('s3_url')}/run"
    program = f"from datascaler.train.lease import Lease; import time; Lease({run!r}).take(); print(flush=True)"
    process = subprocess.Popen(
        [sys.executable, "-c", f"{program}; time.sleep(600)"], stdout=subprocess.PIPE, env=dict(os.environ)
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    said: list[str] = []
    after = Lease(run, said.append)
    after.take()
    named = f"waiting    up to 2 s for process {process.pid} on {socket.gethostname()}"
    assert [line.startswith(named) for line in said] == ([True] if where == "s3" else [])
    after.release()


def test_a_trainer_that_was_away_for_too_long_learns_that_it_lost_the_folder(s3_url: str) -> None:
    away = Lease(s3_url)
    away._take_file()  # and nothing renews it
    away._renewer = threading.Thread(target=lambda: None)
    away._renewer.start()
    other = Lease(s3_url)
    other.take()
    with pytest.raises(TryAgainError, match="was taken over by another trainer"):
        away.check()
    away.release()
    other.check()
    other.release()


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff\xfe", json.dumps({"pid": None}).encode()])
def test_a_torn_lease_is_in_nobodys_way(content: bytes, run: str) -> None:
    storage.publish_bytes(f"{run}/lease.json", content)
    held = Lease(run)
    held.take()
    assert json.loads(storage.read_bytes(f"{run}/lease.json"))["pid"] == os.getpid()
    held.release()


def test_a_disk_without_locks_has_leases_that_expire(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(_descriptor: int, _operation: int) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", none)
    run = str(tmp_path / "run")
    first, second = Lease(run), Lease(run)
    first.take()
    with pytest.raises(TryAgainError, match=f"process {os.getpid()} on "):
        second.take()
    first.release()
    assert list((tmp_path / "run").iterdir()) == []


def test_a_folder_that_cannot_be_written_is_said_plainly(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(StorageError, match=r"lease\.json"):
        Lease(str(tmp_path / "file")).take()
