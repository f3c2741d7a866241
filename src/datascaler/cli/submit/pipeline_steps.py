"""The steps of a pipeline as submissions: each is what `submit STEP` would make of the pipeline's words and its own."""

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from datascaler.cli.submit.options import Step, step_of
from datascaler.cli.submit.run import make_request

if TYPE_CHECKING:
    from datascaler.cluster.act.pipeline import Pipeline
    from datascaler.cluster.kube.surroundings import Surroundings
    from datascaler.cluster.submit.submission import Submission

STEPS = ("score", "subset", "sweep", "train", "eval")


@dataclass(frozen=True, slots=True)
class PipelineSteps:
    pipeline: "Pipeline"
    own: Mapping[str, Step]
    """What the user gave each step."""
    shared: Mapping[str, Any]
    """Values of all pods."""
    namespace: str
    around: "Surroundings"

    def describe(self, verb: str, best: Sequence[str] = ()) -> "Submission":
        """best: the words of a sweep's best point, for `train`."""
        from datascaler.cluster.kube.chart_values import merged
        from datascaler.cluster.kube.names import PIPELINE
        from datascaler.cluster.submit.request import describe_request

        step = self._complete(verb, best)
        # A driver that is created suspended must not create its steps so too: nobody would start them.
        values = merged(self.shared, {"labels": {PIPELINE: self.pipeline.name}, "suspend": None})
        given = step.given | {"name": self.pipeline.step_name(verb)}
        given["logs"] = given["logs"] or self.pipeline.logs_dir
        given["value_files"] = [json.dumps(values), *given["value_files"]]
        step.given = given
        return describe_request(make_request(step, step.spec(offline=True)), self.namespace, self.around)

    def outlook(self) -> Iterator[str]:
        """What each step will take; on the way every flag of every step is checked."""
        from datascaler.cluster.submit.estimate import outlook

        yield f"pipeline  {self.namespace}/{self.pipeline.name}: {' -> '.join(self.pipeline.verbs)}"
        for verb in self.pipeline.verbs:
            yield from outlook(self.describe(verb), self._complete(verb).spec(offline=True))

    def best_point(self) -> list[str]:
        """The sweep's best point as words of `train`."""
        from datascaler.data.runs.sweep_results import collect
        from datascaler.spec.sweep import SweepSpec

        spec = self._complete("sweep").spec(offline=True)
        assert isinstance(spec, SweepSpec)
        best = collect(spec.points).best
        return ["--lr", str(best.lr), "--weight-decay", str(best.weight_decay), "--warmup", str(best.warmup_steps)]

    def words(self) -> list[str]:
        """The steps' flags once more, with everything inside that comes from files or variables of this machine."""
        words = []
        for verb in self.pipeline.verbs:
            own = [*self.own[verb].arguments, *self.own[verb].cluster_words]
            # An empty --sweep is a sweep too: of the default grid.
            words += [f"--{verb}", shlex.join(own)] if own or verb == "sweep" else []
        return words

    def _complete(self, verb: str, best: Sequence[str] = ()) -> Step:
        """The step with what the pipeline gives it."""
        from datascaler.cluster.act.pipeline import overlaid

        own, training = self.own[verb], self.own["train"]
        if verb == "sweep":
            words = self.pipeline.arguments(verb, own.arguments, training.arguments)
            return step_of(verb, [*words, *training.cluster_words, *own.cluster_words])
        words = self.pipeline.arguments(verb, overlaid(own.arguments, best))
        return step_of(verb, [*words, *own.cluster_words])


def steps_of(given: Mapping[str, Any]) -> dict[str, Step]:
    """What the user gave each step, from `--score "..."` and so on."""
    if given["eval"] and not given["eval_data_dir"]:
        raise click.UsageError("--eval needs --eval-data-dir, without which nothing is evaluated")
    return {verb: step_of(verb, _split(verb, given[verb] or "")) for verb in STEPS}


def _split(verb: str, text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise click.UsageError(f"--{verb} {text}: {error}") from None
