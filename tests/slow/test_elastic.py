"""Elastic training as a cluster does it: agents that come, are told to go, or are killed, around one run."""

import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from datascaler.data.run_folder import finished, run_url
from tests.train.elastic import Cluster
from tests.train.runs import BATCH, checkpoint_of, make_pool, metrics_of, tiny_spec
from tests.train.test_interrupted import saved_steps

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
STEPS = 250


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_pool(str(tmp_path_factory.mktemp("elastic") / "pool"))


@pytest.fixture
def cluster(pool: str, tmp_path: Path) -> Iterator[Cluster]:
    spec = tiny_spec(pool, str(tmp_path / "out"), train_num_samples=STEPS * BATCH, num_checkpoints=STEPS)
    with ExitStack() as stack:
        made = Cluster(spec, tmp_path / "logs")
        stack.callback(made.stop)
        yield made


def check_complete(cluster: Cluster) -> None:
    """All steps, each once, in order, with a finite loss."""
    url = run_url(cluster.spec)
    summary = finished(url)
    assert summary is not None, cluster.said()
    assert summary.samples_seen == STEPS * BATCH == checkpoint_of(url)["samples_seen"]
    rows = metrics_of(url)
    assert [row["step"] for row in rows] == list(range(1, STEPS + 1))
    assert all(0 < row["loss"] < 10 for row in rows)
    assert "Traceback" not in cluster.said()


def test_workers_join_a_run_and_leave_it(cluster: Cluster) -> None:
    """One, then two, then three; the last is told to go, then the second; the first finishes alone."""
    cluster.start(1)
    cluster.until_step(5, world=1)
    cluster.start(2)
    cluster.until_step(10, world=2)
    cluster.start(3)
    cluster.until_step(15, world=3)
    at = saved_steps(cluster.spec)
    cluster.workers[3].send_signal(signal.SIGTERM)
    assert cluster.wait(3) == 143
    cluster.until_step(at + 10)
    assert cluster.wait(1) == cluster.wait(2) == 0
    check_complete(cluster)
    # Whoever comes late has nothing to do.
    started = time.monotonic()
    cluster.start(3)
    assert cluster.wait(3) == 0
    assert time.monotonic() - started < 60


def test_the_first_process_may_be_another_one_after_a_worker_has_joined(cluster: Cluster) -> None:
    """Ranks go by address; the processes must all learn where rank 0 is now."""
    cluster.store_at = 2
    cluster.start(2)
    cluster.until_step(5, world=1)
    cluster.start(1)
    cluster.until_step(saved_steps(cluster.spec) + 30, world=2)
    # The worker with rank 0 goes; the other one has the rendezvous, and goes on.
    cluster.workers[1].send_signal(signal.SIGTERM)
    assert cluster.wait(1) == 143
    assert cluster.wait(2) == 0
    check_complete(cluster)


def test_losing_the_worker_that_keeps_the_rendezvous(cluster: Cluster) -> None:
    """The others end by themselves, with a code that says: again. All are started again, and the run goes on."""
    for number in (1, 2, 3):
        cluster.start(number)
    cluster.until_step(10, world=3)
    cluster.kill(1)
    saved = saved_steps(cluster.spec)
    assert [cluster.wait(number, seconds=90) for number in (2, 3)] == [75, 75]
    assert saved_steps(cluster.spec) == saved
    for number in (2, 3, 1):
        cluster.start(number)
    assert [cluster.wait(number) for number in (1, 2, 3)] == [0, 0, 0]
    check_complete(cluster)
    assert f"resuming  at {saved * BATCH:,} samples" in cluster.said()


def test_a_killed_worker_is_replaced_by_the_others_alone(cluster: Cluster) -> None:
    """No SIGTERM, no save: the others meet again when its heartbeat has stopped, and go on from the checkpoint."""
    for number in (1, 2):
        cluster.start(number)
    cluster.until_step(10, world=2)
    cluster.kill(2)
    assert cluster.wait(1) == 0
    check_complete(cluster)


def test_all_are_told_to_stop_and_are_started_again(cluster: Cluster) -> None:
    for number in (1, 2):
        cluster.start(number)
    cluster.until_step(10, world=2)
    for worker in cluster.workers.values():
        worker.send_signal(signal.SIGTERM)
    assert [cluster.wait(number) for number in (1, 2)] == [143, 143]
    saved = saved_steps(cluster.spec)
    assert checkpoint_of(run_url(cluster.spec))["samples_seen"] == saved * BATCH
    for number in (1, 2):
        cluster.start(number)
    assert [cluster.wait(number) for number in (1, 2)] == [0, 0]
    check_complete(cluster)
    assert f"resuming  at {saved * BATCH:,} samples" in cluster.said()


def test_a_worker_that_is_told_to_go_while_it_waits_does_not_end_the_others(cluster: Cluster) -> None:
    """torchrun alone closes the rendezvous then: every other node fails at the next change."""
    cluster.nodes = "3"
    cluster.environment["LOGLEVEL"] = "INFO"
    for number in (1, 2):
        cluster.start(number)
    cluster.until_said("Rendezvous'ing worker group", times=2)
    cluster.workers[2].send_signal(signal.SIGTERM)
    assert cluster.wait(2) == 143
    for number in (2, 3):
        cluster.start(number)
    assert [cluster.wait(number) for number in (1, 2, 3)] == [0, 0, 0]
    check_complete(cluster)
