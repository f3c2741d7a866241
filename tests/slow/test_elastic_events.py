"""Ten events and more befall an elastic job, and its run is the run that nothing has befallen."""

import random
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from datascaler.data.runs.run_folder import finished, outcome, run_url
from datascaler.spec.train import TrainSpec
from datascaler.train.train_clip import train_clip
from tests.train.elastic import Cluster
from tests.train.runs import BATCH, make_pool, metrics_of, tiny_spec
from tests.train.test_interrupted import saved_steps

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1700)]
NODES, EVENTS = 4, 10
STEPS = 1600
"""More than pass while ten events are waited for: a worker that comes takes ten seconds to load torch."""
HOST = 9
"""The last number of the address at which the rendezvous is kept: by this process, which nobody kills."""


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_pool(str(tmp_path_factory.mktemp("events") / "pool"))


@pytest.fixture
def job(request: pytest.FixtureRequest, pool: str, tmp_path: Path) -> Iterator[Cluster]:
    spec = tiny_spec(
        pool,
        str(tmp_path / "out"),
        train_num_samples=STEPS * BATCH,
        num_checkpoints=STEPS // 4,
        # What another number of processes rounds otherwise must not grow into another run.
        lr=1e-4,
        **request.param,
    )
    made = Cluster(spec, tmp_path / "logs", nodes=f"1:{NODES}")
    made.store_at = HOST
    # Each of the events may end the others' processes; what is counted here is that they come back.
    made.environment["PET_MAX_RESTARTS"] = "100"
    store = TCPStore(f"127.0.0.{HOST}", int(made.port), is_master=True, wait_for_workers=False)
    yield made
    made.stop()
    del store


LADDER = {"schedule": "wsd", "cooldown": 0.5, "branch_at": (STEPS * BATCH // 4, STEPS * BATCH // 2, STEPS * BATCH)}


@pytest.mark.parametrize("job", [{}, LADDER], ids=["cosine", "a trunk with branches"], indirect=True)
def test_a_run_under_many_events_is_the_run_under_none(job: Cluster, tmp_path: Path) -> None:
    happened = befall(job, random.Random(0))
    assert len(happened) >= EVENTS, f"the run was complete after {happened}"
    assert {kind for kind, _ in happened} == {"kill", "remove", "add"}
    end(job)
    assert outcome(job.spec), job.said()
    assert "Traceback" not in job.said()

    undisturbed = replace(job.spec, output_dir=str(tmp_path / "undisturbed"), num_checkpoints=1)
    train_clip(undisturbed)
    for ours, theirs in zip(job.spec.budgets, undisturbed.budgets, strict=True):
        compare(ours, theirs)


def befall(job: Cluster, draw: random.Random) -> list[tuple[str, int]]:
    """Kill, remove and add workers of a running job, each once the run goes on after the one before."""
    job.start(1)
    happened: list[tuple[str, int]] = []
    until_on(job, 0)
    while len(happened) < EVENTS and not outcome(job.spec):
        running = [number for number, worker in job.workers.items() if worker.poll() is None]
        absent = [number for number in range(1, NODES + 1) if number not in running]
        kinds = ["add"] * (len(absent) > 0) + ["kill", "remove"] * (len(running) > 1)
        # All kinds come to pass, whatever is drawn.
        missing = [kind for kind in kinds if kind not in {each for each, _ in happened}]
        kind = draw.choice(missing or kinds)
        number = draw.choice(absent if kind == "add" else running)
        before = progress(job.spec)
        if kind == "add":
            job.start(number)
        elif kind == "kill":
            job.kill(number)
        else:
            job.workers[number].send_signal(signal.SIGTERM)
            assert job.wait(number) == 143, job.said()
        happened.append((kind, number))
        until_on(job, before)
    return happened


def end(job: Cluster) -> None:
    """Wait until the run is complete; a worker that gave up for want of the others is started again, as pods are."""
    deadline = time.monotonic() + 900
    while not outcome(job.spec):
        assert time.monotonic() < deadline, job.said()
        if all(worker.poll() is not None for worker in job.workers.values()):
            job.start(1)
        time.sleep(0.5)
    for number in list(job.workers):
        job.wait(number)


def until_on(job: Cluster, before: int) -> None:
    """Until the run has saved steps that it had not before."""
    deadline = time.monotonic() + 400
    while progress(job.spec) < before + 4 and not outcome(job.spec):
        assert time.monotonic() < deadline, f"no step after {before}:\n{job.said()}"
        time.sleep(0.05)


def progress(spec: TrainSpec) -> int:
    return sum(saved_steps(budget) for budget in spec.budgets)


def compare(ours: TrainSpec, theirs: TrainSpec) -> None:
    """Every step was taken once, in order, on the batch that is its own: another one's loss is off by a tenth."""
    rows, other_rows = metrics_of(run_url(ours)), metrics_of(run_url(theirs))
    assert [row["step"] for row in rows] == list(range(1, ours.steps + 1))
    apart = [abs(row["loss"] - other["loss"]) for row, other in zip(rows, other_rows, strict=True)]
    assert max(apart) < 1e-3, f"step {apart.index(max(apart)) + 1} is {max(apart):.2g} off"
    done, other_done = finished(run_url(ours)), finished(run_url(theirs))
    assert done
    assert other_done
    assert done.samples_seen == other_done.samples_seen == ours.steps * ours.batch_size
    assert abs(done.train_loss - other_done.train_loss) < 1e-4
