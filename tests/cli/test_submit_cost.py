"""What `datascaler submit --dry-run=client` costs: modules, processor time beside helm's own, and calls of helm."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage

import pytest
import yaml

from tests.charts.render import RUN_CHART, helm
from tests.cli.submitting import SMALLEST, values_of

BUDGET_SECONDS = 0.4
"""Of processor time, above `helm template` alone."""


def run(*command: str, given: str | None = None, **environment: str) -> tuple[subprocess.CompletedProcess[str], float]:
    """What it did, and the processor time of it and all that it started."""
    before = getrusage(RUSAGE_CHILDREN)
    done = subprocess.run(
        command,
        input=given,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "DATASCALER_HELM": helm(), **environment},
    )
    after = getrusage(RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    return done, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def submit_train(*words: str) -> list[str]:
    return [sys.executable, "-m", "datascaler", "submit", "train", *SMALLEST["train"], "--dry-run=client", *words]


@pytest.mark.parametrize("verb", SMALLEST)
def test_no_client_no_torch_no_storage_is_loaded(verb: str) -> None:
    command = [
        sys.executable,
        "-X",
        "importtime",
        "-m",
        "datascaler",
        "submit",
        verb,
        *SMALLEST[verb],
        "--dry-run=client",
    ]
    done, _ = run(*command)
    loaded = {line.rpartition("|")[2].strip().split(".")[0] for line in done.stderr.splitlines()}
    assert "click" in loaded
    heavy = {"kubernetes", "torch", "fsspec", "s3fs", "numpy", "pyarrow", "urllib3", "asyncio"}
    assert loaded & heavy == set()


def test_processor_time_beside_helms_own() -> None:
    """By turns, and the least of each: what else the machine does is on neither side."""
    values = json.dumps(values_of("train"))
    with_launcher, alone = [], []
    for _ in range(5):
        with_launcher.append(run(*submit_train())[1])
        alone.append(run(helm(), "template", "run", str(RUN_CHART), "--values", "-", given=values)[1])
    assert min(with_launcher) - min(alone) <= BUDGET_SECONDS, (with_launcher, alone)


@pytest.fixture
def counting_helm(tmp_path: Path) -> tuple[Path, Path]:
    """A helm that notes every call of it: (program, notes)."""
    program, notes = tmp_path / "helm", tmp_path / "calls"
    program.write_text(f'#!/bin/sh\necho "$1" >> {notes}\nexec {helm()} "$@"\n')
    program.chmod(0o755)
    return program, notes


def test_a_sweep_of_a_thousand_points_is_one_call_of_helm(counting_helm: tuple[Path, Path]) -> None:
    program, notes = counting_helm
    axis = ",".join(f"{number}e-5" for number in range(1, 101))
    words = ["--lrs", axis, "--weight-decays", ",".join(f"0.{number}" for number in range(10)), "--backend", "job"]
    base = SMALLEST["sweep"][:-2]
    command = [sys.executable, "-m", "datascaler", "submit", "sweep", *base, *words, "--name", "s", "--dry-run=client"]
    began = time.monotonic()
    done, seconds = run(*command, DATASCALER_HELM=str(program))
    # The 20 seconds are of a clock; the processor's time is the same on a machine that does something else too.
    assert min(seconds, time.monotonic() - began) <= 20
    assert notes.read_text() == "template\n"
    jobs = [each for each in yaml.load_all(done.stdout, yaml.CSafeLoader) if each and each["kind"] == "Job"]
    assert [job["metadata"]["name"] for job in jobs] == [f"s-{number:03}" for number in range(1000)]
    commands = {tuple(job["spec"]["template"]["spec"]["containers"][0]["command"]) for job in jobs}
    assert len(commands) == 1000
    assert "run       default/s, 1,000 runs" in done.stderr
    assert "samples   12,800,000 a run" in done.stderr


@pytest.mark.parametrize("verb", [verb for verb in SMALLEST if verb not in ("pipeline", "forecast")])
def test_every_verb_is_one_call_of_helm(verb: str, counting_helm: tuple[Path, Path]) -> None:
    program, notes = counting_helm
    command = [sys.executable, "-m", "datascaler", "submit", verb, *SMALLEST[verb], "--dry-run=client", "-o", "values"]
    run(*command, DATASCALER_HELM=str(program))
    assert notes.read_text() == "template\n"
