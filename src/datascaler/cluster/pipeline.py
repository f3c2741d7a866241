"""A pipeline: score, subset, (sweep), train, eval as runs of their own, each begun when the one before it is complete.

What is finished is the only state, so the same pipeline, started again, goes on where it stopped.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from datascaler.cluster.api import Api
from datascaler.cluster.cancel import cancel
from datascaler.cluster.run_values import flags_in, without_flags
from datascaler.cluster.send import send
from datascaler.cluster.state import State, state_of
from datascaler.cluster.submission import Submission
from datascaler.cluster.wait import exit_code, summary_line, wait_for
from datascaler.errors import DatascalerError, PartlyFailedError, RunCancelledError, RunFailedError
from datascaler.spec.numbers import format_fraction

_ERRORS: dict[int, type[DatascalerError]] = {100: RunFailedError, 103: RunCancelledError, 104: PartlyFailedError}


@dataclass(frozen=True, kw_only=True, slots=True)
class Pipeline:
    name: str
    data_dir: str
    output_dir: str
    """Scores and subsets lie here, runs in `runs/`, logs in `logs/`."""
    method: str
    fraction: Fraction
    scale: str
    eval_data_dir: str | None
    """None leaves evaluation out."""
    has_sweep: bool

    @property
    def verbs(self) -> list[str]:
        sweep, evaluate = ["sweep"] if self.has_sweep else [], ["eval"] if self.eval_data_dir else []
        return ["score", "subset", *sweep, "train", *evaluate]

    @property
    def runs_dir(self) -> str:
        return f"{self.output_dir.rstrip('/')}/runs"

    @property
    def logs_dir(self) -> str:
        return f"{self.output_dir.rstrip('/')}/logs"

    def step_name(self, verb: str) -> str:
        return f"{self.name}-{verb}"

    def arguments(self, verb: str, own: Sequence[str], shared: Sequence[str] = ()) -> list[str]:
        """What the pipeline gives the step, and the step's own words, which win. shared: the words of `train`, for a
        sweep."""
        fraction = format_fraction(self.fraction)
        pool, out = ["--data-dir", self.data_dir], ["--output-dir", self.output_dir]
        chosen = ["--method", self.method]
        subset = f"{self.output_dir.rstrip('/')}/subsets/{self.method}-f{fraction}.npy"
        training = [*pool, "--output-dir", self.runs_dir, "--scale", self.scale, "--subset-file", subset]
        which = ["--scale", self.scale, *chosen, "--fraction", fraction]
        given = {
            "score": [*pool, *out, *chosen],
            "subset": [*out, *chosen, "--fraction", fraction],
            "sweep": [*training, *chosen, "--fraction", fraction],
            "train": [*training, *chosen, "--fraction", fraction],
            "eval": ["--train-dir", self.runs_dir, *which, "--data-dir", self.eval_data_dir or ""],
        }[verb]
        words = [*without_flags(given, flags_in(shared)), *shared]
        return [*without_flags(words, flags_in(own)), *own]


def carry_out(
    api: Api,
    namespace: str,
    verb: str,
    submission: Submission,
    say: Callable[[str], None],
) -> None:
    """Submit a step and wait for it. One that failed before is made anew: it goes on from what it has finished.

    Raises RunFailedError, PartlyFailedError or RunCancelledError if it does not succeed.
    """
    present = send(api, submission, say).present
    states = [state_of(run).state for run in present]
    if State.FAILED in states or State.PARTLY_FAILED in states:
        say(f"{verb}: {submission.name} had failed; starting it again")
        cancel(api, namespace, submission.name, say=say)
        send(api, submission, say)
    ended = wait_for(api, namespace, submission.name, say=lambda line: say(f"{verb}: {line}"))
    code = exit_code(ended)
    if code:
        raise _ERRORS[code](
            f"step {verb} ({namespace}/{submission.name}) did not succeed: {summary_line(ended)}; "
            "when that is mended, the same submit goes on from here"
        )
