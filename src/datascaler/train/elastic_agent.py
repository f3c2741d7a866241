"""torchrun's agent: starts this node's processes, meets the other nodes, and starts all again when nodes come and go.

Ours differs in what it counts. A run that lives for days on machines that are taken away and given back must not use up
its restarts by that; and what no restart will mend must not be tried again.
"""

import argparse
import io
import os
import signal
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from typing import Any

from torch.distributed.elastic.agent.server.api import RunResult, WorkerGroup, WorkerSpec, WorkerState
from torch.distributed.elastic.agent.server.local_elastic_agent import LocalElasticAgent
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.rendezvous import RendezvousParameters
from torch.distributed.elastic.rendezvous.registry import get_rendezvous_handler
from torch.distributed.launcher.api import LaunchConfig
from torch.distributed.run import config_from_args, parse_args

from datascaler.errors import BadInputError, ConfigError, DivergedError, StoppedByUserError, StoppedError, first_line
from datascaler.stop import held_back
from datascaler.tools.child_processes import child_environment
from datascaler.tools.foreign_noise import said_once

_PERMANENT = {2, ConfigError.exit_code, BadInputError.exit_code, DivergedError.exit_code}
_STOPPED = {StoppedError.exit_code, StoppedByUserError.exit_code}
_FORGIVE_SECONDS = 600.0
"""A group of processes that ran for so long has its restarts back."""
_BLOCKED_SECONDS = 30
"""What processes get to end in, once the other nodes cannot be reached."""
_EXIT_BARRIER_SECONDS = 60
_TORCHRUNS_PORT = 29_500
"""Where the nodes meet if PET_MASTER_PORT doesn't say it: torchrun's own default."""


class Agent(LocalElasticAgent):
    def __init__(self, spec: WorkerSpec, config: LaunchConfig) -> None:
        super().__init__(
            spec,
            logs_specs=config.logs_specs,  # type: ignore[arg-type]
            start_method=config.start_method,
            exit_barrier_timeout=_EXIT_BARRIER_SECONDS,
            log_line_prefix_template=config.log_line_prefix_template,
        )
        # To finish a step and to save it; the cluster sets this from the pod's grace period.
        self._stop_seconds = int(os.environ.get("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", _BLOCKED_SECONDS))
        self._group_started = time.monotonic()

    def _invoke_run(self, role: str = "default_role") -> RunResult:
        try:
            return super()._invoke_run(role)
        except SignalException:
            raise
        except Exception:
            # The rendezvous is gone, and with it a node that the processes may be waiting for.
            self._stop_seconds = min(self._stop_seconds, _BLOCKED_SECONDS)
            raise

    def _start_workers(self, worker_group: WorkerGroup) -> dict[int, Any]:
        self._group_started = time.monotonic()
        os.environ.update(child_environment())
        with held_back():
            started: dict[int, Any] = super()._start_workers(worker_group)
        return started

    def _monitor_workers(self, worker_group: WorkerGroup) -> RunResult:
        result: RunResult = super()._monitor_workers(worker_group)
        allowed = worker_group.spec.max_restarts
        codes = _codes(result)
        if codes & _PERMANENT:
            self._remaining_restarts = 0
        elif codes and codes <= _STOPPED and allowed:
            # A node was told to leave, and all have saved the step: asked for, so it is free.
            self._remaining_restarts += 1
        elif result.state == WorkerState.HEALTHY and time.monotonic() - self._group_started > _FORGIVE_SECONDS:
            self._remaining_restarts = allowed
        return result

    def leave_together(self) -> None:
        """What torchrun does after success only. A sweep goes on after a point that diverged, on all nodes: one that is
        early would meet the others at the rendezvous of the point before.
        """
        self._exit_barrier()  # type: ignore[no-untyped-call]

    def _shutdown(self, death_sig: signal.Signals = signal.SIGTERM, timeout: int = _BLOCKED_SECONDS) -> None:
        if self._pcontext:
            self._pcontext.close(death_sig, max(timeout, self._stop_seconds))
        super()._shutdown(death_sig)


def torchrun_options(arguments: Sequence[str]) -> argparse.Namespace:
    """torchrun's own reading of its options, for which PET_* variables stand in. Raises ConfigError."""
    said = io.StringIO()
    try:
        with redirect_stderr(said):
            parsed: argparse.Namespace = parse_args(list(arguments))  # type: ignore[no-untyped-call]
    except SystemExit as error:
        fault = said.getvalue().strip().rpartition("error: ")[2]
        raise ConfigError(f"torchrun refuses a PET_* variable: {fault}: correct it, or unset it") from error
    if parsed.master_port is None:
        parsed.master_port = _TORCHRUNS_PORT
    return parsed


@contextmanager
def _refused_values() -> Iterator[None]:
    """What torchrun makes of the options before anything starts."""
    try:
        yield
    except ValueError as error:
        raise ConfigError(f"torchrun refuses a PET_* variable: {first_line(error)}: correct it, or unset it") from error


def run_agent(options: argparse.Namespace) -> RunResult | None:
    """Run this node's part to its end, by torchrun's options.

    Returns None where the run ended while this node waited for a place in it. Raises SignalException when told to stop,
    and what the rendezvous raises when the other nodes are lost or never came.
    """
    if options.standalone:
        options.rdzv_backend, options.rdzv_endpoint, options.rdzv_id = "c10d", "localhost:0", str(uuid.uuid4())
    elif options.rdzv_backend != "static":
        # torch 2.15 keeps the address at which processes meet from the first round, although another node may be the
        # first of a later one; this makes the processes' meeting point anew in every round.
        os.environ.setdefault("TORCH_DISABLE_SHARE_RDZV_TCP_STORE", "1")
    # Five lines on one thread a process, which is what it sets, and what is meant.
    with said_once("torch.distributed.run", "OMP_NUM_THREADS"), _refused_values():
        config, entrypoint, arguments = config_from_args(options)
    parameters = RendezvousParameters(
        backend=config.rdzv_backend,
        endpoint=config.rdzv_endpoint,
        run_id=config.run_id,
        min_nodes=config.min_nodes,
        max_nodes=config.max_nodes,
        local_addr=config.local_addr,
        **config.rdzv_configs,
    )
    static = config.rdzv_backend == "static"
    address, _, port = config.rdzv_endpoint.strip().rpartition(":")
    with _refused_values():
        rendezvous = get_rendezvous_handler(parameters)
    spec = WorkerSpec(
        role=config.role,
        local_world_size=config.nproc_per_node,
        entrypoint=entrypoint,
        args=tuple(arguments),
        rdzv_handler=rendezvous,
        max_restarts=config.max_restarts,
        monitor_interval=config.monitor_interval,
        master_addr=address if static else None,
        master_port=int(port) if static else None,
        local_addr=config.local_addr,
    )
    agent = Agent(spec, config)
    result: RunResult | None = agent.run()
    if result and DivergedError.exit_code in _codes(result):
        agent.leave_together()
    if result is None or result.state == WorkerState.SUCCEEDED or _codes(result) & _PERMANENT:
        # Nobody has to come any more. Otherwise it stays open: the other nodes go on, and this one may come back.
        rendezvous.shutdown()
    return result


def _codes(result: RunResult) -> set[int]:
    return {failure.exitcode for failure in result.failures.values()}
