"""Elastic training as a cluster does it: agents that come, are told to go, or are killed, around one run."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from datascaler.data.runs.run_folder import finished, run_url, start_run
from tests.train.elastic import Cluster
from tests.train.runs import BATCH, checkpoint_of, make_pool, metrics_of, tiny_spec
from tests.train.test_interrupted import saved_steps

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]
STEPS, LONG = 60, 400
"""A run that starts when all are there; and one that is still going when more have come."""
Start = Callable[..., Cluster]


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_pool(str(tmp_path_factory.mktemp("elastic") / "pool"))


@pytest.fixture
def cluster(pool: str, tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as stack:

        def make(nodes: str, steps: int = STEPS) -> Cluster:
            spec = tiny_spec(pool, str(tmp_path / "out"), train_num_samples=steps * BATCH, num_checkpoints=steps)
            made = Cluster(spec, tmp_path / "logs", nodes=nodes)
            stack.callback(made.stop)
            return made

        yield make


def check_complete(cluster: Cluster) -> None:
    """All steps, each once, in order, with a finite loss."""
    url = run_url(cluster.spec)
    summary = finished(url)
    assert summary is not None, cluster.said()
    assert summary.samples_seen == cluster.spec.train_num_samples == checkpoint_of(url)["samples_seen"]
    rows = metrics_of(url)
    assert [row["step"] for row in rows] == list(range(1, cluster.spec.steps + 1))
    assert all(0 < row["loss"] < 10 for row in rows)
    assert "Traceback" not in cluster.said()


def test_workers_join_a_run_and_leave_it(cluster: Start) -> None:
    """One, then two, then three; the last is told to go, then the second; the first finishes alone."""
    job = cluster("1:3", LONG)
    job.start(1)
    job.until_step(5, world=1)
    job.start(2)
    job.until_step(10, world=2)
    job.start(3)
    job.until_step(15, world=3)
    at = saved_steps(job.spec)
    job.workers[3].send_signal(signal.SIGTERM)
    assert job.wait(3) == 143
    job.until_step(at + 10)
    assert job.wait(1) == job.wait(2) == 0
    check_complete(job)
    # Whoever comes late has nothing to do.
    started = time.monotonic()
    job.start(3)
    assert job.wait(3) == 0
    assert time.monotonic() - started < 60


def test_the_first_process_may_be_another_one_after_a_worker_has_joined(cluster: Start) -> None:
    """Ranks go by address; the processes must all learn where rank 0 is now."""
    job = cluster("1:3", LONG)
    job.store_at = 2
    job.start(2)
    job.until_step(5, world=1)
    job.start(1)
    job.until_step(saved_steps(job.spec) + 30, world=2)
    # The worker with rank 0 goes; the other one has the rendezvous, and goes on.
    job.workers[1].send_signal(signal.SIGTERM)
    assert job.wait(1) == 143
    assert job.wait(2) == 0
    check_complete(job)


def test_losing_the_worker_that_keeps_the_rendezvous(cluster: Start) -> None:
    """The others end by themselves, with a code that says: again. All are started again, and the run goes on."""
    job = cluster("3")
    for number in (1, 2, 3):
        job.start(number)
    job.until_step(10, world=3)
    job.kill(1)
    saved = saved_steps(job.spec)
    assert [job.wait(number) for number in (2, 3)] == [75, 75]
    assert saved_steps(job.spec) == saved
    for number in (2, 3, 1):
        job.start(number)
    assert [job.wait(number) for number in (1, 2, 3)] == [0, 0, 0]
    check_complete(job)
    assert f"resuming  at {saved * BATCH:,} samples" in job.said()


def test_a_killed_worker_is_replaced_by_the_others_alone(cluster: Start) -> None:
    """No SIGTERM, no save: the others meet again when its heartbeat has stopped, and go on from the checkpoint."""
    job = cluster("1:2")
    job.last_call = 20
    for number in (1, 2):
        job.start(number)
    job.until_step(10, world=2)
    job.kill(2)
    assert job.wait(1) == 0
    check_complete(job)


def test_all_are_told_to_stop_and_are_started_again(cluster: Start) -> None:
    job = cluster("2")
    for number in (1, 2):
        job.start(number)
    job.until_step(10, world=2)
    for worker in job.workers.values():
        worker.send_signal(signal.SIGTERM)
    assert [job.wait(number) for number in (1, 2)] == [143, 143]
    saved = saved_steps(job.spec)
    assert checkpoint_of(run_url(job.spec))["samples_seen"] == saved * BATCH
    for number in (1, 2):
        job.start(number)
    assert [job.wait(number) for number in (1, 2)] == [0, 0]
    check_complete(job)
    assert f"resuming  at {saved * BATCH:,} samples" in job.said()


def test_a_worker_that_is_told_to_go_while_it_waits_does_not_end_the_others(cluster: Start) -> None:
    """torchrun alone closes the rendezvous then: every other node fails at the next change."""
    job = cluster("3")
    job.environment["LOGLEVEL"] = "INFO"
    for number in (1, 2):
        job.start(number)
    job.until_said("Rendezvous'ing worker group", times=2)
    job.workers[2].send_signal(signal.SIGTERM)
    assert job.wait(2) == 143
    for number in (2, 3):
        job.start(number)
    assert [job.wait(number) for number in (1, 2, 3)] == [0, 0, 0]
    check_complete(job)


def test_what_no_restart_will_mend_is_not_tried_again(cluster: Start) -> None:
    """Of the three restarts that torchrun has, none is used."""
    job = cluster("2")
    start_run(replace(job.spec, batch_size=4), {}, "")
    for number in (1, 2):
        job.start(number)
    assert [job.wait(number) for number in (1, 2)] == [78, 78]
    assert job.said().count("holds another run") <= 2
