"""What the tests on a real Slurm share: the server, its user, and the figures that are printed at the end."""

import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.slurm.client import Slurm
from tests.slurm.server import SlurmMissingError, install_slurm, slurm_server

_FIGURES = pytest.StashKey[dict[str, Any]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_FIGURES] = {}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if found := terminalreporter.config.stash[_FIGURES]:
        terminalreporter.write_line(json.dumps(found))


@pytest.fixture(scope="session")
def figures(pytestconfig: pytest.Config) -> dict[str, Any]:
    return pytestconfig.stash[_FIGURES]


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    try:
        install_slurm()
        # A short path: the daemons' sockets lie in it.
        with (
            TemporaryDirectory(prefix="slurm-", ignore_cleanup_errors=True) as folder,
            slurm_server(Path(folder)) as settings,
        ):
            yield Slurm(settings, tmp_path_factory.mktemp("jobs"))
    except SlurmMissingError as error:
        pytest.fail(str(error), pytrace=False)
