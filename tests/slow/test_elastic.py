"""Elastic training as a cluster does it: agents that come, are told to go, or are killed, around one run."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from datascaler.data.run_folder import finished, run_url
from datascaler.spec.train import TrainSpec
from tests.train.runs import BATCH, checkpoint_of, make_pool, metrics_of, tiny_spec
from tests.train.test_interrupted import saved_steps
from tests.train.test_processes import free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
STEPS = 250


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_pool(str(tmp_path_factory.mktemp("elastic") / "pool"))


class Cluster:
    """The workers of one elastic job, each at an address of its own, with the variables that the operator sets."""

    def __init__(self, spec: TrainSpec, logs: Path) -> None:
        self.spec, self._logs = spec, logs
        self.store_at = 1
        """The worker that keeps the rendezvous: the operator makes it worker 0."""
        self._port, self._starts = free_port(), 0
        self.workers: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, number: int) -> "subprocess.Popen[bytes]":
        """The pod of worker `number`, for the first time or again."""
        variables = {
            "PET_NNODES": "1:3",
            "PET_NPROC_PER_NODE": "1",
            "PET_RDZV_BACKEND": "c10d",
            "PET_RDZV_ENDPOINT": f"127.0.0.{self.store_at}:{self._port}",
            "PET_RDZV_ID": "elastic",
            "PET_RDZV_CONF": f"join_timeout=120,last_call_timeout=3,is_host={int(number == self.store_at)}",
            "PET_MAX_RESTARTS": "3",
            "PET_LOCAL_ADDR": f"127.0.0.{number}",
            "PYTHONUNBUFFERED": "1",
            "OMP_NUM_THREADS": "1",
        }
        self._starts += 1
        log = self._logs / f"worker-{number}.{self._starts}.log"
        with log.open("wb") as file:
            self.workers[number] = subprocess.Popen(
                [sys.executable, "-m", "datascaler", "train", *self.spec.arguments()],
                env={**os.environ, **variables},
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        return self.workers[number]

    def kill(self, number: int) -> None:
        """As when a node dies: the agent and its processes at once."""
        for pid in process_tree(self.workers[number].pid):
            os.kill(pid, signal.SIGKILL)
        self.workers[number].wait()

    def wait(self, number: int, seconds: float = 120) -> int:
        try:
            return self.workers[number].wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"worker {number} did not end in {seconds} s:\n{self.said()}") from None

    def until_step(self, step: int, world: int | None = None) -> None:
        """Until the run has saved `step`, or more on so many processes."""
        deadline = time.monotonic() + 240
        while saved_steps(self.spec) < step or (world and f"on {world} process(es), cpu" not in self.said()):
            assert time.monotonic() < deadline, f"no step {step} after 240 s:\n{self.said()}"
            time.sleep(0.05)

    def said(self) -> str:
        return "".join(f"--- {log.name}\n{log.read_text()}" for log in sorted(self._logs.iterdir()))

    def stop(self) -> None:
        for number, worker in self.workers.items():
            if worker.poll() is None:
                self.kill(number)


def process_tree(pid: int) -> list[int]:
    """The process and all below it: torchrun's processes lead sessions of their own."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(below for child in children for below in process_tree(int(child)))]


@pytest.fixture
def cluster(pool: str, tmp_path: Path) -> Iterator[Cluster]:
    (tmp_path / "logs").mkdir()
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
