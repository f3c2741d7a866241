"""Neither a secret on the command line nor what stands in a tar's names comes out of a verb as it went in."""

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from datascaler.cli.main import cli
from tests.data.tars import tar_of

SECRET = "s3cr3tWORD"
PLACES = [
    f"http://name:{SECRET}@127.0.0.1:9/pool",
    f"s3://AKIA1:{SECRET}@bucket/pool",
    f"https://h/p?X-Amz-Signature={SECRET}",
]
VERBS = [
    ["pool", "check", "--data-dir", "URL"],
    ["pool", "index", "--data-dir", "URL", "--output-dir", "OUT"],
    ["subset", "--output-dir", "URL", "--method", "clip", "--fraction", "0.3"],
    ["runs", "URL"],
    ["status", "URL"],
    ["submit", "score", "--dry-run", "--data-dir", "URL", "--output-dir", "s3://o/x", "--method", "clip"],
    [
        "submit",
        "score",
        "--dry-run",
        "--data-dir",
        "s3://p/x",
        "--output-dir",
        "s3://o/x",
        "--method",
        "clip",
        "--logs",
        "URL",
    ],
    [
        "submit",
        "score",
        "--dry-run",
        "--data-dir",
        "s3://p/x",
        "--output-dir",
        "s3://o/x",
        "--method",
        "clip",
        "--env",
        "A=URL",
    ],
]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_no_secret_comes_out(verb: list[str], place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATASCALER_RETRY_SECONDS", "0")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    words = [word.replace("URL", place).replace("OUT", str(tmp_path)) for word in verb]
    result = CliRunner().invoke(cli, words)
    assert result.exit_code
    assert SECRET not in result.output + str(result.exception) + repr(result.exception)
    assert not any(SECRET.encode() in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


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
