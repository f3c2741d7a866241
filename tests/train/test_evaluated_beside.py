"""The process that `--eval-every` starts: which command it is, and that training neither waits nor fails with it.

What it evaluates is tested where it is followed (tests/data/runs) and, as a whole, in tests/slow.
"""

import time
from pathlib import Path

import pytest

from datascaler.train.evaluated_beside import evaluated_beside
from tests.train.runs import tiny_spec


def test_it_ends_by_itself_or_with_the_job_and_its_fault_is_none_of_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """It is started where a cluster numbers the job's pods, and ends before torch is loaded: there is no such run."""
    monkeypatch.setenv("JOB_COMPLETION_INDEX", "3")
    monkeypatch.setenv("LOCAL_RANK", "0")
    (tmp_path / "sets").mkdir()
    spec = tiny_spec("pool", str(tmp_path), eval_every=12, eval_data_dir=str(tmp_path / "sets"), eval_tasks=["cifar10"])
    assert spec.eval_tasks == ("cifar10",)
    said: list[str] = []
    with evaluated_beside(spec, str(tmp_path / "no run"), said.append):
        assert said == []
    assert said[-1] == "warning   the evaluation beside the run ended with 78; `datascaler eval` goes on with it"
    heard = capfd.readouterr().err
    assert f"--train-dir {tmp_path}/no run does not exist" in heard

    began = time.monotonic()
    with pytest.raises(KeyError), evaluated_beside(spec, str(tmp_path), said.append):
        raise KeyError
    assert time.monotonic() - began < 30
    with evaluated_beside(tiny_spec("pool", str(tmp_path)), str(tmp_path / "no run"), said.append):
        pass
    assert len(said) == 2
