"""A child process does the work on a bad file, and whatever it comes to, it is one error here."""

import os
import signal
import tempfile
import time
from pathlib import Path
from typing import IO

import pytest

from datascaler.errors import ConfigError
from datascaler.tools.contained import Limits, run_contained

LIMITS = Limits(memory_bytes=64 << 20, cpu_seconds=1, output_bytes=1000)


def act(path: str, output: IO[bytes]) -> None:
    """What a file of this content makes of the library that reads it."""
    content = Path(path).read_text()
    if content == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif content == "memory":
        bytearray(1 << 30)
    elif content == "time":
        while True:
            pass
    elif content == "output":
        output.write(bytes(2000))
    elif content == "no uid":
        raise ConfigError("row 7 is \x1b[31mno uid")
    elif content == "bug":
        raise KeyError(9)
    output.write(content.encode())


def outcome(tmp_path: Path, content: str) -> bytes:
    (tmp_path / "file").write_text(content)
    with tempfile.TemporaryFile() as output:
        run_contained(f"{__name__}:act", str(tmp_path / "file"), output, LIMITS)
        output.seek(0)
        return output.read()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("crash", "it is damaged, or was made to do harm: the library that reads it crashes (SIGSEGV)"),
        ("memory", "to read it would take more than 64 MB of memory"),
        ("time", "to read it takes more than 1 s"),
        ("output", "it gives more than 1,000 bytes"),
        ("no uid", "row 7 is \\x1b[31mno uid"),
        (
            "bug",
            "it is damaged, or was made to do harm: the library that reads it crashes (KeyError: 9)",
        ),
    ],
)
def test_whatever_it_comes_to_is_one_error(tmp_path: Path, content: str, reason: str) -> None:
    children = os.times()
    with pytest.raises(ConfigError) as caught:
        outcome(tmp_path, content)
    assert str(caught.value) == reason
    assert os.times().children_user - children.children_user < 4


def test_what_is_sound_comes_back(tmp_path: Path) -> None:
    assert outcome(tmp_path, "sound") == b"sound"


def test_nothing_is_imported_from_where_one_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "resource.py").write_text("raise SystemExit(9)")
    monkeypatch.chdir(tmp_path)
    started = time.monotonic()
    assert outcome(tmp_path, "sound") == b"sound"
    assert time.monotonic() - started < 60
