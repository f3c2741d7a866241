"""The Dockerfile: the linter finds nothing, and it keeps what the images' documentation says of it."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent.parent
DOCKERFILE = ROOT / "docker" / "Dockerfile"


def instructions() -> list[str]:
    """One a line, without comments."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE)
    return [" ".join(line.split()) for line in text.replace("\\\n", " ").splitlines() if line.strip()]


def test_hadolint_finds_nothing() -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([hadolint, DOCKERFILE], capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_base_is_pinned_and_may_be_another() -> None:
    lines = instructions()
    assert re.fullmatch(r"ARG BASE_IMAGE=python:\d+\.\d+\.\d+-slim-[a-z]+", lines[0])
    stages = dict(reversed(pair) for pair in re.findall(r"^FROM (\S+) AS (\S+)$", "\n".join(lines), re.MULTILINE))
    assert stages.keys() >= {"launcher", "worker"}
    # What else is built on, is a stage of this file.
    assert set(stages.values()) <= {"${BASE_IMAGE}", *stages}


def test_both_images_run_as_the_same_number() -> None:
    text = "\n".join(instructions())
    assert re.findall(r"^USER (.*)$", text, re.MULTILINE) == ["10001:10001"]
    assert "FROM runtime AS launcher" in text
    assert "FROM runtime AS worker" in text


def test_everything_from_an_index_has_its_hash() -> None:
    installs = [line for line in instructions() if "pip install" in line or " install --" in line]
    assert len(installs) == 4
    for line in installs:
        assert "--require-hashes" in line or "--no-index" in line, line


def test_the_versions_agree() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert set(re.findall(r"ARG VERSION=(.*)", DOCKERFILE.read_text())) == {version}
    # The tag that charts name when their values don't.
    for chart in ("datascaler", "datascaler-run"):
        assert yaml.safe_load((ROOT / "charts" / chart / "Chart.yaml").read_text())["appVersion"] == version


def test_the_context_holds_what_is_copied_and_little_else() -> None:
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {
        source.split("/")[0]
        for line in instructions()
        if line.startswith("COPY") and "--from" not in line
        for source in line.split()[1:-1]
    }
    assert copied == kept
