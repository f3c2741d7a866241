"""Folders of any name, users without one, masks of new files, and broken settings of stores."""

import json
import os
import pwd
import random
import sys
import unicodedata
from collections import Counter
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from datascaler import storage
from datascaler.cli import main as command
from datascaler.errors import DatascalerError
from tests.data.tars import members_of, shard_of, tar_of

NAMES = (
    *(
        "with space",
        " first",
        "last ",
        "-dash",
        "a=b",
        "a:b",
        "a;b",
        "a&b",
        "a>b",
        "$HOME",
        "100%20",
        "#1",
        "who?",
        "it's",
    ),
    *(
        'a "b"',
        "back\\slash",
        "new\nline",
        "a,b",
        "~",
        "...",
        "x" * 200,
        unicodedata.normalize("NFD", "naïve"),
        "图片 🐈",
    ),
    *("shards", "[1]", "{a}", "*"),
)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words: str) -> None:
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as ended:
        patch.setattr(sys, "argv", ["datascaler", *words])
        command.main()
    assert ended.value.code in (0, None), words


def line_in(folder: str, pool: str) -> bytes:
    """Score a pool and choose from it; the subset's bytes."""
    data, out = f"--data-dir={pool}", f"--output-dir={folder}"
    run("score", data, out, "--method=basic", "--no-language", "--score-name=b")
    run("subset", out, "--method=random", "--score-name=b", "--fraction=0.5", "--subset-name=half")
    return Path(folder, "subsets/half.npy").read_bytes()


def make_pool(folder: str) -> str:
    Path(folder).mkdir(parents=True)
    for number in range(2):
        Path(folder, f"{number}.tar").write_bytes(shard_of([sized(number * 4 + each) for each in range(4)]))
    return folder


def sized(number: int) -> dict[str, bytes]:
    return members_of(number, original_width=300, original_height=300)


@pytest.fixture
def expected() -> bytes:
    return line_in("plain out", make_pool("plain pool"))


def test_folders_of_odd_names_hold_pools_and_results(expected: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    for name in NAMES:
        pool = make_pool(f"pools/{name}")
        assert line_in(f"outs/{name}", pool) == expected, name
    Path("inside").mkdir()
    os.chdir("inside")
    for name in random.Random(0).sample([each for each in NAMES if each != "~"], 6):
        assert line_in(f"{name} out", make_pool(name)) == expected, name
    capsys.readouterr()


def run_odd(*words: str) -> tuple[object, list[str]]:
    """Exit code, and the lines of the error but for click's usage."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as ended, redirect_stderr(StringIO()) as err:
        patch.setattr(sys, "argv", ["datascaler", *words])
        command.main()
    return ended.value.code, [line for line in err.getvalue().splitlines() if "rror: " in line]


NOT_UTF8 = os.fsdecode(b"a\xff")


@pytest.mark.parametrize(
    "words",
    [
        ["pool", "check", "--data-dir=ODD"],
        ["pool", "index", "--data-dir=plain pool", "--output-dir=ODD"],
        ["pool", "make", "--images-dir=ODD", "--captions=c.csv", "--output-dir=p"],
        ["pool", "make-evalset", "--images-dir=plain pool", "--output-dir=ODD"],
        ["score", "--data-dir=ODD", "--output-dir=o", "--method=basic", "--no-language"],
        ["score", "--data-dir=plain pool", "--output-dir=ODD", "--method=basic", "--no-language"],
        ["subset", "--output-dir=ODD", "--method=random", "--fraction=0.5"],
        ["subset", "convert", "ODD.npy", "b.txt"],
        ["subset", "materialize", "a.npy", "--data-dir=plain pool", "--output-dir=ODD"],
        ["train", "--data-dir=ODD", "--output-dir=o", "--scale=debug"],
        ["train", "--data-dir=plain pool", "--output-dir=ODD", "--scale=debug"],
        ["eval", "--train-dir=ODD", "--data-dir=plain pool"],
        ["runs", "ODD"],
        ["report", "ODD", "--output=r.html"],
    ],
    ids=" ".join,
)
def test_folders_whose_names_are_not_utf8_are_refused_by_name(words: list[str], here: Path) -> None:
    make_pool("plain pool")
    make_pool(NOT_UTF8)
    code, lines = run_odd(*(word.replace("ODD", NOT_UTF8) for word in words))
    assert code in (2, 78), lines
    assert len(lines) == 1
    assert r"a\udcff" in lines[0]
    assert sorted(path.name for path in here.iterdir()) == sorted([NOT_UTF8, "plain pool"])


def test_shards_members_and_captions_that_are_not_utf8_are_named_or_counted(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_pool("pool")
    Path("pool/0.tar").rename(f"pool/{NOT_UTF8}.tar")
    samples = [sized(each) for each in range(4)]
    samples[0]["txt"] = b"\xff\xfe"
    named = [
        (f"{number}{NOT_UTF8}.{suffix}", data) for number, each in enumerate(samples) for suffix, data in each.items()
    ]
    (here / "pool/2.tar").write_bytes(tar_of(named))
    (here / f"pool/{NOT_UTF8}").mkdir()
    (here / f"pool/{NOT_UTF8}/3.tar").write_bytes(shard_of(samples))
    capsys.readouterr()
    code, lines = run_odd("pool", "check", "--data-dir=pool", "--json")
    found = json.loads(capsys.readouterr().out)
    assert (code, len(lines)) == (65, 1)
    assert found["statuses"] == {"ok": 7, "caption is not UTF-8": 1}
    assert found["passed_over"][rf"pool/{NOT_UTF8}.tar"].startswith("its name is not UTF-8: rename it")
    run("score", "--data-dir=pool", "--output-dir=out", "--method=basic", "--no-language", "--score-name=b")
    rows = [row for path in here.glob("out/**/b/**/*.parquet") for row in pq.read_table(path).to_pylist()]
    assert Counter(row["status"] for row in rows) == {"ok": 7, "caption is not UTF-8": 1}


@pytest.mark.parametrize("mask", [0o022, 0o002, 0o077])
def test_new_files_follow_the_mask(mask: int, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = os.umask(mask)
    try:
        line_in("out", make_pool("pool"))
        storage.publish_if_absent("out/frozen", b"")
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in here.joinpath("out").rglob("*") if path.is_file()}
    assert len(modes) > 5
    assert set(modes.values()) == {0o666 & ~mask}, modes
    capsys.readouterr()


def test_a_user_without_a_name_or_a_home(
    expected: bytes, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def unknown(number: Any) -> None:
        raise KeyError(f"getpwuid(): uid not found: {number}")

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    for name in ("USER", "LOGNAME", "LNAME", "USERNAME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    assert line_in("out", "plain pool") == expected
    monkeypatch.setenv("HOME", "/nonexistent")
    assert line_in("again", "plain pool") == expected
    capsys.readouterr()


@pytest.mark.usefixtures("no_store")
@pytest.mark.parametrize(
    ("profile", "config"),
    [("nobody", ""), ("", "[profile x\n"), ("x", "[profile x]\nregion\n"), ("x", "\xff\xfe"), ("x", "[profile x]\n")],
)
def test_a_broken_profile_of_a_store_is_an_error_of_a_line(
    profile: str, config: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    (here / "config").write_bytes(config.encode("latin-1"))
    for name, value in {
        "AWS_PROFILE": profile,
        "AWS_CONFIG_FILE": f"{here}/config",
        "AWS_SHARED_CREDENTIALS_FILE": f"{here}/none",
    }.items():
        monkeypatch.setenv(name, value)
    with pytest.raises((DatascalerError, SystemExit)) as ended:
        storage.list_files("s3://bucket/pool")
    assert len(str(ended.value).splitlines()) == 1
    assert line_in("out", make_pool("pool"))  # what needs no store minds none of it


def test_a_working_folder_that_is_gone_is_named(
    here: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Torch's libraries say then that they can't load themselves, and end the process as a usage error would."""
    (here / "gone").mkdir()
    monkeypatch.chdir(here / "gone")
    (here / "gone").rmdir()
    monkeypatch.setattr(sys, "argv", ["datascaler", "runs", str(here)])
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert ended.value.code == 1
    said = capfd.readouterr().err
    assert said == "datascaler: error: the folder that this was started in is gone: go to one that is there (cd)\n"
