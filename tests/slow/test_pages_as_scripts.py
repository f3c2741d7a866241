"""The Python of the README and the guides as scripts, and the README's commands as a shell script: each a program."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, blocks
from tests.docs.readers_folder import SMALL_RECIPE, make_readers_folder, smaller

SCRIPTS = {
    name: "".join(block.text for block in blocks("python") if block.page == ROOT / name)
    for name in ("README.md", "docs/library.md", "docs/forecast.md")
} | {"docs/dataset.md": next(block.text for block in blocks("python") if block.page == ROOT / "docs" / "dataset.md")}
"""Of the page on datasets the first block: the second is a part of open_clip's program."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("reader")
    make_readers_folder(made)
    return made


@pytest.mark.slow
@pytest.mark.parametrize("page", SCRIPTS)
def test_python(page: str, folder: Path, tmp_path: Path) -> None:
    """With real loader workers, which import the script too."""
    script = tmp_path / "script.py"
    script.write_text(re.sub(r"num_workers=8", "num_workers=2", smaller(SCRIPTS[page])))
    run([sys.executable, str(script)], clean(folder, tmp_path, page))


@pytest.mark.slow
def test_the_readmes_four_verbs(folder: Path, tmp_path: Path) -> None:
    (block,) = (
        block for block in blocks("bash") if block.page == ROOT / "README.md" and "datascaler eval" in block.text
    )
    script = tmp_path / "script.sh"
    recipe = " ".join(f"--{name.replace('_', '-')}={value}" for name, value in SMALL_RECIPE.items())
    text = smaller(block.text).replace("--scale small", f"--scale small {recipe}")
    script.write_text(text.replace("datascaler eval ", "datascaler eval --allow-partial-sets "))
    run(["bash", "-eu", str(script)], clean(folder, tmp_path, "README.md"))


def clean(folder: Path, tmp_path: Path, page: str) -> Path:
    """What a reader has before the first line of a page."""
    copy = tmp_path / "reader"
    shutil.copytree(folder, copy)
    (copy / "bucket" / "scored").rename(copy / "out")
    shutil.rmtree(copy / "bucket" / "runs")
    if page == "docs/forecast.md":
        (copy / "ladder").rename(copy / "bucket" / "runs")
    elif page == "docs/library.md":
        shutil.rmtree(copy / "out")
    return copy


def run(command: list[str], folder: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
