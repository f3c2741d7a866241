"""Starting torchrun on this node, so that one command serves a laptop, a node of GPUs and a pod of a PyTorchJob."""

import os
import signal
import sys
from collections.abc import Sequence

from datascaler.data.runs.run_folder import RunSummary, outcome
from datascaler.errors import ChildError, StoppedError, TryAgainError, first_line
from datascaler.spec.train import TrainSpec
from datascaler.train.read_launch import STARTED_BY, Launch, read_launch

_REASONS = {
    "RendezvousConnectionError": "the node that keeps the rendezvous is lost or did not start",
    "RendezvousTimeoutError": "too few nodes came in time",
    "RendezvousClosedError": "the other nodes have ended",
}


def take_place(nproc_per_node: int) -> Launch:
    """What started this process, which from here on has torchrun's variables for it, whoever it was."""
    launch = read_launch(os.environ, nproc_per_node)
    os.environ.update(launch.variables)
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        os.environ[STARTED_BY] = launch.summary
    return launch


def needs_torchrun(launch: Launch, nproc_per_node: int) -> bool:
    """Several processes are wanted, and this is not one of them yet."""
    return launch.kind == "node" or (launch.kind == "alone" and nproc_per_node > 1)


def train_under_torchrun(
    spec: TrainSpec, arguments: Sequence[str], nproc_per_node: int, name: str = ""
) -> RunSummary | None:
    """Run `datascaler ARGUMENTS`, which trains `spec`, in `nproc_per_node` processes on this node.

    Returns the summary of a run that needs this node no more: it was complete before, or the others completed it while
    this one was looking for them. Else None; the processes have printed what there is. Raises what `run_under_torchrun`
    raises, and DivergedError.
    """
    done = outcome(spec)
    if done is None:
        try:
            run_under_torchrun(arguments, nproc_per_node, name)
        except (ChildError, TryAgainError):
            # Whatever became of this node's part, or of its last words with the others: the run may have an end by now.
            done = outcome(spec)
            if done is None:
                raise
    return done


def run_under_torchrun(arguments: Sequence[str], nproc_per_node: int, name: str = "") -> None:
    """Run `datascaler ARGUMENTS` in `nproc_per_node` processes. PET_* variables set everything that is not given here.

    `name` tells several runs of one job apart at their common rendezvous.
    Raises ChildError with the exit code of the first process that failed, TryAgainError when the other nodes are lost
    or do not come, StoppedError on SIGTERM, ConfigError for a PET_* variable that torchrun can't take.
    """
    # A node that goes is not worth the stack of every process that notices.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    from torch.distributed import DistError
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.elastic.rendezvous import RendezvousError

    from datascaler.train.elastic_agent import run_agent, torchrun_options

    options = ["--nproc-per-node", str(nproc_per_node)] if nproc_per_node > 1 else []
    if not any(variable in os.environ for variable in ("PET_MASTER_ADDR", "PET_RDZV_ENDPOINT")):
        # Processes of one node need not find it by its name, which may not resolve. Several say where they meet.
        options += ["--standalone", "--local-addr", os.environ.get("PET_LOCAL_ADDR", "127.0.0.1")]
    elif name:
        # torchrun names a folder after the id.
        run_id = f"{os.environ.get('PET_RDZV_ID', 'datascaler')}.{name}".replace("/", ".")
        options += ["--rdzv-id", run_id]
    parsed = torchrun_options([*options, "-m", "datascaler", *arguments])
    # torchrun's handler raises an Exception, which its own code takes in places. Ours is in force; one must be named.
    os.environ["TORCHELASTIC_SIGNALS_TO_HANDLE"] = "SIGQUIT"
    quit_handler = signal.getsignal(signal.SIGQUIT)
    try:
        result = run_agent(parsed)
    except SignalException:
        # torchrun has told the processes to stop, and waited for them.
        raise StoppedError("stopped on request; the same command goes on") from None
    except (RendezvousError, DistError) as error:
        reason = _REASONS.get(type(error).__name__, first_line(error))
        raise TryAgainError(f"{reason}; the same command goes on") from error
    finally:
        signal.signal(signal.SIGQUIT, quit_handler)
    if result is None:
        raise TryAgainError("the run ended before this node had a part in it")
    if result.failures:
        rank, failure = ChildFailedError("datascaler", result.failures).get_first_failure()
        code = failure.exitcode if failure.exitcode > 0 else 128 - failure.exitcode
        raise ChildError(f"process {rank} failed with exit code {code}", code)


def own_arguments() -> list[str]:
    """The arguments of this very command, to be run again in every process."""
    return sys.argv[1:]
