"""What a verb does before torch: it says what is missing, of paths and of libraries, in one line and at once."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from datascaler.extras import WORKER, what_is_missing
from tests.other_threads import ticks_of_other_threads

TYPOS = {
    "data-dir": "train --data-dir {0}/typo --output-dir {0}/out --scale small",
    "subset-file": "train --data-dir {0}/pool --output-dir {0}/out --scale small --subset-file {0}/typo.npy",
    "plan": "train --data-dir {0}/pool --output-dir {0}/out --scale small --plan {0}/typo.plan",
    "output-dir": "train --data-dir {0}/pool --output-dir {0}/file/typo --scale small",
    "sweep": "sweep --data-dir {0}/typo --output-dir {0}/out --scale small",
    "pretrained": "score --data-dir {0}/pool --output-dir {0}/out --method clip --model ViT-B-32 --pretrained typo.pt",
    "model": "score --data-dir {0}/pool --output-dir {0}/out --method clip --model local-dir:{0}/typo",
    "detector": "score --data-dir {0}/pool --output-dir {0}/out --method boxes --detector {0}/typo.onnx",
    "boxes": "score --data-dir {0}/pool --output-dir {0}/out --method tmars --boxes typo",
    "score": "score --data-dir {0}/typo --output-dir {0}/out --method clip",
    "target": "score --from-metadata {0}/meta --output-dir {0}/out --method normsim --target {0}/typo.npy",
    "embeddings": "score --output-dir {0}/out --method dedup --embeddings typo",
    "train-dir": "eval --train-dir {0}/typo --data-dir {0}/pool",
    "eval": "eval --model ViT-B-32 --pretrained openai --data-dir {0}/typo --output-dir {0}/out",
    "task-dir": "eval --train-dir {0}/pool --data-dir {0}/pool --task-dir {0}/typo",
    "demo": "demo --output-dir {0}/file/typo",
    "export": "export {0}/typo",
    "coord-check": "coord-check --output-dir {0}/file/typo",
}
PROGRAM = """
import contextlib, io, json, sys
from datascaler.cli.main import main
{before}
said = {{}}
for name, words in json.load(sys.stdin).items():
    sys.argv = ["datascaler", *words.split()]
    with contextlib.redirect_stderr(io.StringIO()) as stderr:
        try:
            main()
            code = 0
        except SystemExit as error:
            code = error.code
        except BaseException as error:
            code, _ = repr(error), stderr.write("Traceback")
    said[name] = [code, stderr.getvalue(), sorted({{"torch", "open_clip"}} & sys.modules.keys())]
print(json.dumps(said))
"""
WITHOUT_WORKER = f"""
class _Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {WORKER}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
import importlib.util
there = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name in {WORKER} else there(name, *rest)
sys.meta_path.insert(0, _Absent())
"""


def said(commands: dict[str, str], folder: Path, before: str = "") -> dict[str, tuple[int, str, list[str]]]:
    """Run all in one process, in which nothing is imported at first: exit code, stderr, and what is imported then."""
    for name in ("pool", "meta"):
        (folder / name).mkdir()
    (folder / "pool" / "0.tar").write_bytes(bytes(10240))
    (folder / "meta" / "0.parquet").touch()
    (folder / "file").touch()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(before=before)],
        input=json.dumps({name: words.format(folder) for name, words in commands.items()}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, tuple[int, str, list[str]]] = json.loads(done.stdout)
    return result


def test_a_typo_in_any_path_is_told_before_torch_is_imported(tmp_path: Path) -> None:
    for name, (code, stderr, imported) in said(TYPOS, tmp_path).items():
        assert code in (1, 78), (name, code, stderr)
        assert "typo" in stderr, (name, stderr)
        assert (stderr.startswith("datascaler: error: "), stderr.count("\n")) == (True, 1), (name, stderr)
        assert imported == [], name


def test_verbs_without_the_worker_extra_say_what_to_install(tmp_path: Path) -> None:
    good = {
        "train": "train --data-dir {0}/pool --output-dir {0}/out --scale small",
        "sweep": "sweep --data-dir {0}/pool --output-dir {0}/out --scale small",
        "score": "score --data-dir {0}/pool --output-dir {0}/out --method clip",
        "dedup": "score --output-dir {0}/out --method dedup --embeddings e",
        "eval": "eval --train-dir {0}/pool --data-dir {0}/pool",
        "demo": "demo --output-dir {0}/out",
    }
    for name, (code, stderr, _) in said(good, tmp_path, WITHOUT_WORKER).items():
        expected = (
            f"datascaler: error: this needs {WORKER[0]}, which is not installed: pip install 'datascaler[worker]'\n"
        )
        assert (code, stderr) == (78, expected), name
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ModuleNotFoundError("No module named 'torch'", name="torch"), "this needs torch, which is not installed"),
        (ImportError("libGL.so.1: cannot open", name="cv2"), "cv2 is installed, but can't be loaded (libGL.so.1"),
        (ModuleNotFoundError("No module named 'torch._x'", name="torch._x"), "torch is installed, but can't be loaded"),
        (ModuleNotFoundError("No module named 'yaml'", name="yaml"), None),
        (ImportError("cannot import name 'x'"), None),
    ],
    ids=str,
)
def test_what_is_missing(error: ImportError, line: str | None) -> None:
    found = what_is_missing(error)
    assert found is None if line is None else str(found).startswith(line)


def test_the_libraries_are_those_of_the_extra() -> None:
    import tomllib
    from importlib.metadata import packages_distributions

    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    wanted = {
        line.partition(">")[0].partition("=")[0].replace("_", "-").lower()
        for line in project["optional-dependencies"]["worker"]
    }
    known = packages_distributions()
    brought = {name.replace("_", "-").lower() for library in WORKER for name in known[library]}
    # Of rapidocr a file is read, which has an error of its own.
    assert brought == wanted - {"rapidocr"}


VERSION = """
import sys, time
sys.argv = ["datascaler", "--version"]
sys.stdout = sys.stderr
from datascaler.__main__ import _run
try:
    _run()
except SystemExit:
    sys.stdout = sys.__stdout__
import numpy
time.sleep(0.3)
print(other_threads())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux what its threads do")
def test_the_threads_that_numpy_starts_do_not_spin() -> None:
    """Each of them would take a tenth of a second of a core, for every core, in every process."""
    (ticks,) = ticks_of_other_threads(VERSION)
    assert sum(ticks) <= 3 * len(ticks)
