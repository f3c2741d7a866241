"""A pipeline: score, subset, (sweep), train, eval as runs of their own, and the words that each step is given."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from datascaler.cluster.run_values import flags_in, without_flags
from datascaler.spec.numbers import format_fraction


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
