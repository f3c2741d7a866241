"""Copies of a command's output in storage: complete after every kind of end, and never in the command's way."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from datascaler import storage
from datascaler.storage import log_copy
from tests.train.runs import run_cli, wait_for

BAD_FLAGS = ("pool", "check", "--data-dir", "/nowhere")
DRIVER = """
import sys
from datascaler.storage import log_copy

log_copy._FIRST_PUBLISH_SECONDS = log_copy._PUBLISH_SECONDS = 0.2
log_copy._PART_BYTES = {part_bytes}
log_copy.sys.executable = {program!r}
sys.exit(log_copy.run_with_log_copy({arguments!r}))
"""


def environment(folder: str | Path) -> dict[str, str]:
    return {"DATASCALER_LOG_DIR": str(folder), "DATASCALER_POD": "run-0"}


def copies(folder: str | Path) -> list[str]:
    return [storage.read_text(info.url) for info in storage.list_files(str(folder), ".log")]


def start(tmp_path: Path, script: str, part_bytes: int = 1 << 20) -> "subprocess.Popen[str]":
    """The copier around a shell script that stands in for the command."""
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    code = DRIVER.format(part_bytes=part_bytes, program=str(program), arguments=[])
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, **environment(tmp_path / "logs")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_results_and_errors_are_copied_to_s3_and_printed_as_ever(s3_url: str, tmp_path: Path) -> None:
    for arguments in (("--version",), (*BAD_FLAGS[:-1], str(tmp_path))):
        folder = f"{s3_url}/{len(arguments)}"
        plain, copied = run_cli(*arguments), run_cli(*arguments, env=environment(folder))
        assert (copied.returncode, copied.stdout, copied.stderr) == (plain.returncode, plain.stdout, plain.stderr)
        assert copies(folder) == [plain.stdout + plain.stderr]
    (info,) = storage.list_files(f"{s3_url}/1")
    assert storage.basename(info.url).startswith("run-0.20")


def test_no_copy_without_a_folder_and_none_in_torchruns_processes(tmp_path: Path) -> None:
    assert run_cli("--version", env=environment("")).returncode == 0
    assert run_cli("--version", env=environment(tmp_path / "logs") | {"LOCAL_RANK": "0"}).returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_fails_is_said_once_and_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file where the folder should be")
    process = start(tmp_path, "echo one; sleep 1; echo two; exit 65")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (65, "one\ntwo\n")
    assert err.count("datascaler: warning: this log is not copied, trying on: ") == 1


def test_children_print_into_the_same_copy_and_may_stay_behind(tmp_path: Path) -> None:
    started = time.monotonic()
    process = start(tmp_path, "(echo from a child); sleep 60 & echo done >&2")
    out, err = process.communicate(timeout=50)
    assert time.monotonic() - started < 50
    assert (process.returncode, out, err) == (0, "from a child\n", "done\n")
    (copy,) = copies(tmp_path / "logs")
    assert sorted(copy.splitlines()) == ["done", "from a child"]


def test_sigterm_reaches_the_command_and_its_last_words_are_there(tmp_path: Path) -> None:
    process = start(tmp_path, "trap 'echo stopped; exit 143' TERM; echo ready; while true; do sleep 0.05; done")
    wait_for(lambda: copies(tmp_path / "logs") == ["ready\n"], process, "first copy")
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (143, "ready\nstopped\n")
    assert copies(tmp_path / "logs") == ["ready\nstopped\n"]


def test_a_command_that_is_killed_leaves_all_its_words(tmp_path: Path) -> None:
    process = start(tmp_path, "echo before; kill -9 $$")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 137
    assert err == "datascaler: error: ended by signal 9 (Killed)\n"
    assert copies(tmp_path / "logs") == ["before\n" + err]


def test_a_killed_copier_leaves_what_it_had_published(tmp_path: Path) -> None:
    process = start(tmp_path, "echo before; sleep 1; echo after")
    wait_for(lambda: copies(tmp_path / "logs") == ["before\n"], process, "first copy")
    process.kill()
    process.communicate()
    assert copies(tmp_path / "logs") == ["before\n"]


def test_a_long_log_goes_on_in_further_parts(tmp_path: Path) -> None:
    process = start(tmp_path, "seq 1 40000", part_bytes=100_000)
    out, _ = process.communicate(timeout=60)
    assert out == "".join(f"{number}\n" for number in range(1, 40001))
    names = [storage.basename(info.url) for info in storage.list_files(str(tmp_path / "logs"))]
    assert len(names) >= 2
    parts = sorted(names, key=lambda name: int(name.split(".")[2].replace("log", "1")))
    assert "".join((tmp_path / "logs" / name).read_text() for name in parts) == out


def test_parts_that_cannot_be_sent_are_given_up_after_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_copy, "_PART_BYTES", 10)
    log = log_copy._Log(str(tmp_path))
    for number in range(100):
        log.add(b"%09d\n" % number)
    assert sorted(log._parts) == list(range(93, 101))
    log.close(0)
    log.publish_until_closed()
    assert len(list(tmp_path.glob("*.log*"))) == 8


def test_a_part_that_grows_while_it_is_sent_keeps_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_copy, "_PART_BYTES", 10)
    log = log_copy._Log(str(tmp_path))
    publish, said = storage.publish, [b"its end\n", b"the next part\n"]

    @contextmanager
    def slowly(url: str) -> Iterator[IO[bytes]]:
        with publish(url) as target:
            yield target
        while said:
            log.add(said.pop(0))

    monkeypatch.setattr(storage, "publish", slowly)
    log.add(b"before\n")
    log._publish()
    log._publish()
    # What is complete in storage is not kept on disk too.
    assert sorted(log._parts) == [2]
    log.close(0)
    log.publish_until_closed()
    assert copies(tmp_path) == ["the next part\n", "before\nits end\n"]
