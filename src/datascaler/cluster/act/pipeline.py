"""A pipeline: score, subset, (sweep), train, eval as runs of their own, and the words that each step is given."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from datascaler.cluster.submit.values import flags_in, without_flags
from datascaler.spec.numbers import format_fraction

_AXES = {"--lr": "--lrs", "--weight-decay": "--weight-decays", "--warmup": "--warmups"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Pipeline:
    name: str
    data_dir: str
    output_dir: str
    """Scores and subsets lie here, runs in `runs/`."""
    logs: str | None = None
    """Where the steps' logs go; None is `logs/` of output_dir."""
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
        return self.logs or f"{self.output_dir.rstrip('/')}/logs"

    def step_name(self, verb: str) -> str:
        return f"{self.name}-{verb}"

    def arguments(self, verb: str, own: Sequence[str], training: Sequence[str] = ()) -> list[str]:
        """What the pipeline gives the step, and the step's own words, which win.

        training: the words of `train`, which a sweep starts from.
        """
        name = format_fraction(self.fraction)
        fraction = str(self.fraction) if "-" in name else name
        pool, out = ["--data-dir", self.data_dir], ["--output-dir", self.output_dir]
        chosen = ["--method", self.method]
        subset = f"{self.output_dir.rstrip('/')}/subsets/{self.method}-f{name}.npy"
        recipe = [*pool, "--output-dir", self.runs_dir, "--scale", self.scale, "--subset-file", subset]
        which = ["--scale", self.scale, *chosen, "--fraction", fraction]
        given = {
            "score": [*pool, *out, *chosen],
            "subset": [*out, *chosen, "--fraction", fraction],
            "sweep": [*recipe, *chosen, "--fraction", fraction],
            "train": [*recipe, *chosen, "--fraction", fraction],
            "eval": ["--train-dir", self.runs_dir, *which, "--data-dir", self.eval_data_dir or ""],
        }[verb]
        return overlaid(given, as_grid(training), own)


def overlaid(*words: Sequence[str]) -> list[str]:
    """Later words win over earlier ones with the same flag, which are left out."""
    result: list[str] = []
    for layer in words:
        result = [*without_flags(result, flags_in(layer)), *layer]
    return result


def as_grid(training: Sequence[str]) -> list[str]:
    """The words of `train` as a sweep takes them: one value of an axis is a grid of one."""
    words = []
    for word in training:
        flag, equals, value = word.partition("=")
        words.append(_AXES.get(flag.replace("_", "-"), flag) + equals + value)
    return words
