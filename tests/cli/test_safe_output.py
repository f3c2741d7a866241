"""Neither a secret on the command line nor what stands in a tar's names comes out of a verb as it went in."""

import random
import subprocess
import sys
import traceback
from pathlib import Path

import pytest
from click.testing import CliRunner

from datascaler.cli.main import cli
from datascaler.spec.field import facts_of, flag_of, flat_fields
from tests.cli.submit.test_local_paths import LINES, with_value
from tests.cli.submitting import SMALLEST
from tests.cli.wrong_words import VERBS, wrong_words
from tests.data.tars import tar_of

SECRET = "s3cr3tWORD"
PLACES = [
    f"http://name:{SECRET}@127.0.0.1:9/pool",
    f"s3://AKIA1:{SECRET}@bucket/pool",
    f"https://h/p?X-Amz-Signature={SECRET}",
]
SUBMIT = ["submit", "score", *SMALLEST["score"], "--dry-run"]
OTHERS = [
    ["pool", "index", "--data-dir", str(Path(__file__).parent), "--output-dir", "URL"],
    ["train", "--data-dir", "s3://p", "--output-dir", "URL", "--scale", "debug"],
    ["train", "--data-dir", "s3://p", "--output-dir", "o", "--scale", "debug", "--subset-file", "URL"],
    ["train", "--data-dir", "s3://p", "--output-dir", "o", "--scale", "debug", "--init-from", "URL"],
    ["score", "--data-dir", "s3://p", "--output-dir", "URL", "--method", "clip", "--model", "ViT-B-32"],
    ["score", "--data-dir", "s3://p", "--output-dir", "o", "--method", "clip", "--pretrained", "URL"],
    ["eval", "--data-dir", "s3://p", "--output-dir", "URL", "--train-dir", "s3://r"],
    ["eval", "--data-dir", "s3://p", "--task-dir", "URL", "--train-dir", "s3://r"],
    ["watch", "URL", "--once"],
    [*SUBMIT, "--logs", "URL"],
    [*SUBMIT, "--env", "A=URL"],
]
"""Flags that `wrong_words` leaves out."""


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def require_kept(words: list[str], folder: Path, capfd: pytest.CaptureFixture[str]) -> int:
    result = CliRunner().invoke(cli, words)
    trace = "".join(traceback.format_exception(result.exception))
    assert SECRET not in result.output + trace + "".join(capfd.readouterr()), words
    assert not any(SECRET.encode() in path.read_bytes() for path in folder.rglob("*") if path.is_file())
    return result.exit_code


@pytest.mark.usefixtures("no_store", "here")
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("verb", VERBS)
def test_no_secret_comes_out_of_a_verb(
    verb: str, place: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert require_kept(wrong_words(verb, random.Random(place), tmp_path, [place]), tmp_path, capfd)


@pytest.mark.usefixtures("no_store", "here")
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("words", OTHERS, ids=" ".join)
def test_no_secret_comes_out_of_other_flags(
    words: list[str], place: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert require_kept([word.replace("URL", place) for word in words], tmp_path, capfd)


@pytest.mark.usefixtures("no_store", "here")
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(("kind", "verb", "line"), LINES, ids=lambda each: str(each)[:16])
def test_no_secret_reaches_a_manifest(
    kind: type, verb: str, line: str, place: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Each flag that names something is tried, one after the other."""
    words = line.split()
    flags = [flag_of(each) for each in flat_fields(kind) if flag_of(each) in words and facts_of(each).place]
    assert flags
    for flag in flags:
        require_kept(["submit", verb, "--dry-run", *with_value(words, flag, place)], tmp_path, capfd)


def test_names_in_a_tar_do_not_reach_the_terminal_as_they_are(tmp_path: Path) -> None:
    name = "\x1b]0;owned\x07\x1b[2J\nok\r"
    (tmp_path / f"0{name}.tar").write_bytes(tar_of([(f"{name}.jpg", b"no image"), (f"{name}.txt", b"a")]))
    (tmp_path / "1.tar").write_bytes(tar_of([(f"{name}.jpg", b"no image"), (f"{name}.txt", b"a")])[:700])
    done = subprocess.run(
        [sys.executable, "-m", "datascaler", "pool", "check", "--data-dir", str(tmp_path)],
        capture_output=True,
        check=False,
    )
    said = done.stdout + done.stderr
    assert b"owned" in said
    assert not set(said) & {0x1B, 0x07, 0x0D}
    assert not any(line.startswith(b"ok") for line in said.splitlines())
