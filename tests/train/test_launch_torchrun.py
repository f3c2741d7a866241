"""Torchrun on one node, by PET_* variables as they are found."""

import os
import re

import pytest
from click.testing import CliRunner

from datascaler.cli.train import train
from datascaler.errors import ConfigError
from datascaler.train.elastic_agent import torchrun_options
from datascaler.train.launch_torchrun import run_under_torchrun


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("PET_")]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("PET_NPROC_PER_NODE", "two", "Unsupported nproc_per_node value: two"),
        ("PET_MAX_RESTARTS", "abc", "argument --max-restarts/--max_restarts: invalid int value: 'abc'"),
        ("PET_NODE_RANK", "first", "argument --node-rank/--node_rank: invalid int value: 'first'"),
        ("PET_RDZV_BACKEND", "carrier-pigeon", "The rendezvous backend 'carrier-pigeon' is not registered"),
    ],
)
def test_a_variable_that_torchrun_can_not_take_is_refused_in_one_line(
    name: str, value: str, fault: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(name, value)
    monkeypatch.setenv("PET_NNODES", "1")
    monkeypatch.setenv("PET_MASTER_ADDR", "127.0.0.1")
    with pytest.raises(ConfigError, match=rf"^torchrun refuses a PET_\* variable: {re.escape(fault)}.*: correct it"):
        run_under_torchrun(["--version"], nproc_per_node=1)
    assert "usage" not in capfd.readouterr().err


def test_one_node_needs_no_address(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PET_NNODES", "1")
    run_under_torchrun(["--version"], nproc_per_node=2)
    assert capfd.readouterr().out.count("datascaler ") == 2


def test_the_port_is_torchruns_where_none_is_said() -> None:
    assert torchrun_options(["-m", "datascaler"]).master_port == 29500
    assert torchrun_options(["--master-port=1234", "-m", "datascaler"]).master_port == 1234


@pytest.mark.parametrize("number", ["0", "-2"])
def test_no_process_at_all_is_a_usage_error(number: str) -> None:
    done = CliRunner().invoke(
        train, ["--data-dir=pool", "--output-dir=out", "--scale=debug", f"--nproc-per-node={number}"]
    )
    assert done.exit_code == 2
    assert f"it must be at least 1, got {number}" in done.stderr
