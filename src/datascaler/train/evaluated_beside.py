"""`--eval-every`: a process beside the job that evaluates its checkpoints. Training neither waits for it nor fails with
it; only at the end the job stays until the complete run is evaluated too.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from datascaler.spec.evaluate import EvalSpec
from datascaler.spec.train import TrainSpec
from datascaler.tools.child_processes import child_environment

_NICENESS = 10
"""What is left of the CPU is enough."""
_OF_THIS_PROCESS = ("TORCHELASTIC", "PET_", "SLURM_", "JOB_COMPLETION_INDEX", "DATASCALER_LOG_DIR")
_TORCHRUN = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_RANK", "MASTER_ADDR", "MASTER_PORT")


@contextmanager
def evaluated_beside(spec: TrainSpec, run: str, say: Callable[[str], None] = lambda _: None) -> Iterator[None]:
    """While inside, `datascaler eval --eval-every` follows the run; left without an error, it is waited for."""
    if not spec.eval_every or spec.eval_data_dir is None:
        yield
        return
    words = EvalSpec(
        data_dir=spec.eval_data_dir, train_dir=run, eval_every=spec.eval_every, tasks=spec.eval_tasks, num_workers=1
    ).arguments()
    # Explicit: the variables of a cluster's job say which part of the training this process is.
    command = [sys.executable, "-m", "datascaler", "eval", *words, "--index=0", "--count=1"]
    with subprocess.Popen(command, env=_environment(), stdout=subprocess.DEVNULL) as process:
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, process.pid, _NICENESS)
        try:
            yield
            say("evaluating the complete run; Ctrl-C leaves that to `datascaler eval`")
            if code := process.wait():
                say(f"warning   the evaluation beside the run ended with {code}; `datascaler eval` goes on with it")
        finally:
            process.terminate()


def _environment() -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if name not in _TORCHRUN}
    return {name: value for name, value in own.items() if not name.startswith(_OF_THIS_PROCESS)} | child_environment()
