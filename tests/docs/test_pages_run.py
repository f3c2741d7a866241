"""The commands of the README and the guides do what they show, each page in a clean folder.

What is sent to a cluster is rendered. A command that can't run here has the reason, or the test that runs it instead.
"""

import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import torch
from click.testing import CliRunner

from datascaler.cli.main import IN_THE_CLUSTER, cli
from tests.charts.render import helm, run_helm
from tests.docs.pages import ROOT, Block, blocks
from tests.docs.readers_folder import SMALL_MODEL, SMALL_RECIPE, make_readers_folder, smaller
from tests.docs.shell_words import commands_of

ELSEWHERE = {
    "bash scripts/": "tests/slow/test_scripts.py, with a pool on S3",
    "docker build": "scripts/build_images, in CI",
    "export": "a variable of the reader's network",
    "kubectl": "a cluster: tests/e2e/test_charts.py",
    "helm test": "a cluster: tests/e2e/test_charts.py",
    "datascaler coord-check": "tests/slow/test_coord_check.py: it takes minutes",
    "datascaler eval download": "tests/evaluate/hub, from a server that stands in for the hub",
    "datascaler report": "tests/report runs it on folders of every kind",
    "datascaler watch": "tests/cli/test_watch.py, beside runs that train",
    "make": "CI runs its targets",
    "pip install": "scripts/check_wheel",
    "sbatch": "a Slurm: tests/slurm",
    "scripts/cluster_install.sh": "a cluster: tests/e2e/site.py",
    "scripts/slurm/pipeline": "a Slurm: tests/slurm",
    **{f"datascaler {verb}": "a cluster: tests/e2e" for verb in IN_THE_CLUSTER if verb != "submit"},
}
"""Why a command is not run here. `datascaler status OUTPUT_DIR` looks at a folder, and is."""
MADE_BY_THE_PAGE = {
    "README.md": ["bucket/scored"],
    "score.md": ["bucket/pool", "out"],
    "baselines.md": ["out"],
    "forecast.md": ["bucket/runs"],
}
PAGES = sorted({block.page for block in blocks("bash")})


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("reader")
    make_readers_folder(folder)
    yield folder
    torch.set_num_threads(threads)


@pytest.fixture
def clean_folder(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a reader has before the first command of a page."""
    folder = tmp_path / "reader"
    shutil.copytree(template, folder)
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_of_a_page_runs_in_order(page: Path, clean_folder: Path) -> None:
    for name in MADE_BY_THE_PAGE.get(page.name, ()):
        shutil.rmtree(clean_folder / name, ignore_errors=True)
    if page.name == "forecast.md":
        shutil.copytree(clean_folder / "ladder", clean_folder / "bucket" / "runs")
    for block in blocks("bash"):
        if block.page == page:
            for words in commands_of(block.text):
                run(words, block)


@pytest.mark.parametrize("page", ["README.md", "docs/forecast.md"])
def test_the_python_of_a_page_runs(page: str, clean_folder: Path) -> None:
    """The library's page and that of PlanDataset have tests of their own; tests/slow runs all of them as programs."""
    shutil.rmtree(clean_folder / "bucket" / ("runs" if page == "docs/forecast.md" else "scored"))
    shutil.copytree(clean_folder / "ladder", clean_folder / "bucket" / "runs", dirs_exist_ok=True)
    for block in blocks("python"):
        if block.page == ROOT / page:
            text = smaller(block.text).replace("num_workers=8", "num_workers=0")
            exec(compile(text, page, "exec"), {"__name__": "__main__"})


def run(words: list[str], block: Block) -> None:
    line = shlex.join(words)
    if words[:2] == ["datascaler", "submit"]:
        succeed([*words[1:], "--dry-run=client"], DATASCALER_HELM=helm())
    elif words[:2] == ["helm", "install"]:
        done = run_helm("template", *words[2:])
        assert done.returncode == 0, (block, done.stderr)
    elif any(line.startswith(start) for start in ELSEWHERE) and "status s3://" not in line:
        return
    else:
        assert words[0] == "datascaler", f"{block}: {line!r} is neither run nor has a reason in ELSEWHERE"
        succeed(small_command(words[1:]))


def small_command(words: list[str]) -> list[str]:
    """The same with the reader's folder for its buckets, and with a small model and recipe."""
    small = shlex.split(smaller(shlex.join(words)))
    if small[0] in ("train", "sweep"):
        more = {name: value for name, value in SMALL_RECIPE.items() if small[0] == "train" or name != "warmup"}
        small += [f"--{name.replace('_', '-')}={value}" for name, value in more.items()]
    if small[0] == "score" and "clip" in small and not {"--model", "--from-metadata"} & set(small):
        small += ["--model", SMALL_MODEL]
    if small[0] == "eval" and "--data-dir" in small:
        small.append("--allow-partial-sets")
    if "--embeddings" in small:
        (tables,) = Path("out/scores").glob("clip-*")
        small[small.index("--embeddings") + 1] = tables.name
    return small


def succeed(words: list[str], **environment: str) -> None:
    done = CliRunner().invoke(cli, words, env=environment)
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, (words, done.stderr)
    for line in re.findall(r"^next:  datascaler (.*)$", done.stderr, re.MULTILINE):
        must_parse(shlex.split(line))


def must_parse(words: list[str]) -> None:
    """A suggestion is a command line up to where its work would begin."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(click.Context, "invoke", lambda *_, **__: None)
        cli.main(words, prog_name="datascaler", standalone_mode=False)


@pytest.mark.parametrize("start", ELSEWHERE)
def test_each_reason_is_of_a_command_that_a_page_shows(start: str) -> None:
    lines = [shlex.join(words) for block in blocks("bash") for words in commands_of(block.text)]
    assert any(line.startswith(start) for line in lines)
