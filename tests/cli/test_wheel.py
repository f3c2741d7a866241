"""The wheel, away from the checkout: it has the charts inside, and submits with them."""

import os
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest
import yaml

from tests.charts.render import ROOT, RUN_CHART, helm
from tests.cli.submitting import SMALLEST, command_of


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the wheel installs; its dependencies are those of this environment."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    [wheel] = folder.glob("*.whl")
    with ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_the_charts_are_inside_as_they_are(installed: Path) -> None:
    for chart in (RUN_CHART, RUN_CHART.parent / "datascaler"):
        inside = installed / "datascaler" / "charts" / chart.name
        files = sorted(path.relative_to(chart) for path in chart.rglob("*") if path.is_file())
        assert files == sorted(path.relative_to(inside) for path in inside.rglob("*") if path.is_file())
        assert all((inside / name).read_bytes() == (chart / name).read_bytes() for name in files)


def test_what_reports_and_forecasts_need_is_inside(installed: Path) -> None:
    """The page's templates with the library that draws, its licence, and the published numbers with their source."""
    for folder in ("report/templates", "forecasting/published"):
        own, inside = ROOT / "src" / "datascaler" / folder, installed / "datascaler" / folder
        files = sorted(path.relative_to(own) for path in own.rglob("*") if path.is_file() and path.suffix != ".pyc")
        assert len(files) >= 4, folder
        assert all((inside / name).read_bytes() == (own / name).read_bytes() for name in files)


def test_a_submit_from_another_folder(installed: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "datascaler", "submit", "train", *SMALLEST["train"], "--dry-run=client"]
    environment = {**os.environ, "PYTHONPATH": str(installed), "DATASCALER_HELM": helm()}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    [job] = [each for each in yaml.safe_load_all(done.stdout) if each]
    assert job["kind"] == "PyTorchJob"
    assert command_of(job) == ["datascaler", "train", *SMALLEST["train"]]
    # It was the wheel's code and the wheel's chart.
    where = "import datascaler.cluster.kube.helm as it; print(it.chart_folder(it.RUN_CHART))"
    done = subprocess.run(
        [sys.executable, "-c", where], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert Path(done.stdout.strip()) == installed / "datascaler" / "charts" / "datascaler-run"
