"""The workers of an elastic job as processes of this machine: started, told to stop, and killed, like pods."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from datascaler.spec.train import TrainSpec
from tests.train.test_interrupted import saved_steps
from tests.train.test_processes import free_port


class Cluster:
    """The workers of one elastic job, each at an address of its own, with the variables that the operator sets."""

    def __init__(self, spec: TrainSpec, logs: Path, nodes: str = "1:3", conf: str = "join_timeout=120") -> None:
        self.spec, self.nodes, self._logs, self._conf = spec, nodes, logs, conf
        logs.mkdir()
        self.store_at = 1
        """The worker that keeps the rendezvous: the operator makes it worker 0."""
        self.last_call = 3
        """Seconds that enough workers wait for more."""
        self.environment: dict[str, str] = {}
        """What a test adds to the variables."""
        self.port, self._starts = free_port(), 0
        self.workers: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, number: int) -> "subprocess.Popen[bytes]":
        """The pod of worker `number`, for the first time or again."""
        variables = {
            "PET_NNODES": self.nodes,
            "PET_NPROC_PER_NODE": "1",
            "PET_RDZV_BACKEND": "c10d",
            "PET_RDZV_ENDPOINT": f"127.0.0.{self.store_at}:{self.port}",
            "PET_RDZV_ID": "elastic",
            "PET_RDZV_CONF": f"{self._conf},last_call_timeout={self.last_call},is_host={int(number == self.store_at)}",
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
                env={**os.environ, **variables, **self.environment},
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        return self.workers[number]

    def kill(self, number: int) -> None:
        """As when a node dies: the agent and its processes at once."""
        for pid in process_tree(self.workers[number].pid):
            os.kill(pid, signal.SIGKILL)
        self.workers[number].wait()

    def wait(self, number: int, seconds: float = 400) -> int:
        try:
            return self.workers[number].wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"worker {number} did not end in {seconds} s:\n{self.said()}") from None

    def until_step(self, step: int, world: int | None = None) -> None:
        """Until the run has saved `step`, or more on so many processes."""
        deadline = time.monotonic() + 400
        while saved_steps(self.spec) < step or (world and f"on {world} process(es), cpu" not in self.said()):
            assert time.monotonic() < deadline, f"no step {step} after 400 s:\n{self.said()}"
            time.sleep(0.05)

    def until_said(self, words: str, times: int) -> None:
        deadline = time.monotonic() + 120
        while self.said().count(words) < times:
            assert time.monotonic() < deadline, f"no {words!r} after 120 s:\n{self.said()}"
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
