"""The images' locks: the versions of requirements.lock, every one with its hashes, and no more than an image needs."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
HASH = re.compile(r"--hash=(sha256:[0-9a-f]{64})")


def pins(path: Path) -> dict[str, tuple[str, frozenset[str]]]:
    """Name -> (version with its condition, hashes)."""
    found = {}
    for block in re.split(r"^(?=[a-z0-9])", path.read_text(), flags=re.MULTILINE):
        if match := re.match(r"([a-z0-9.-]+)==(.*?) \\\n", block):
            found[match[1]] = match[2], frozenset(HASH.findall(block))
    return found


def lock(name: str) -> dict[str, tuple[str, frozenset[str]]]:
    return pins(ROOT / "docker" / f"{name}.lock")


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[^A-Za-z0-9._-]", line)[0].lower().replace("_", "-") for line in requirements}


@pytest.mark.parametrize("name", ["build", "launcher", "worker"])
def test_pins_are_those_of_the_project(name: str) -> None:
    project = pins(ROOT / "requirements.lock")
    for package, (version, hashes) in lock(name).items():
        assert package in project
        assert version.split(" ;")[0] == project[package][0].split(" ;")[0], f"{package}: run `make lock`"
        assert hashes
        assert hashes <= project[package][1]


@pytest.mark.parametrize("name", ["build", "helm", "launcher", "worker"])
def test_a_lock_names_no_index(name: str) -> None:
    assert "://" not in (ROOT / "docker" / f"{name}.lock").read_text()
    assert lock(name)


def test_each_image_has_its_dependencies_and_no_others() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    base = names(project["project"]["dependencies"])
    worker = names(project["project"]["optional-dependencies"]["worker"])
    tools = names([line for line in project["dependency-groups"]["dev"] if isinstance(line, str)])
    assert base <= lock("launcher").keys()
    assert base | worker <= lock("worker").keys()
    assert lock("launcher").keys() <= lock("worker").keys()
    assert not worker & lock("launcher").keys()
    assert not tools & lock("worker").keys()
    assert names(project["build-system"]["requires"]) <= lock("build").keys()
