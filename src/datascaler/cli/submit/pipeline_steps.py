"""The steps of a pipeline, or of a ladder: parsed once into specs, and each a submission of its own."""

import shlex
from collections.abc import Iterable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from datascaler.cli.submit.cluster_options import all_values
from datascaler.cli.submit.options import VERBS, SubmitCommand, refuse_what_is_not_for_pods, verb_spec
from datascaler.cli.train_options import train_spec
from datascaler.spec.field import field_named, flag_of, flat_fields, words_of
from datascaler.spec.ladder import LADDER_STEPS, NOT_SHARED, WHOLE_POOL, LadderGrid, LadderSpec
from datascaler.spec.pipeline import STEPS, PipelineSpec
from datascaler.spec.report import ReportSpec
from datascaler.spec.sweep import AXES, SweepSpec, point_arguments
from datascaler.spec.train import TrainSpec

if TYPE_CHECKING:
    from datascaler.cluster.kube.api import Api
    from datascaler.cluster.kube.surroundings import Surroundings
    from datascaler.cluster.submit.request import Spec
    from datascaler.cluster.submit.submission import Submission


@dataclass(frozen=True, slots=True)
class GivenStep:
    """What the user gave a step, from `--score "..."` and so on."""

    verb: str
    own: Mapping[str, Any]
    """The verb's flags by name, in the order in which they were given."""
    values: Mapping[str, Any]
    """Chart values that come from the step's cluster flags and files."""
    logs: str | None

    @property
    def words(self) -> list[str]:
        """The verb's flags."""
        return _words(self.verb, self.own)

    @property
    def all_words(self) -> list[str]:
        """All that was given, with everything inside that comes from files or variables of this machine."""
        from datascaler.cluster.kube.helm import as_yaml

        values = ["--values", as_yaml(self.values, sort_names=True)] if self.values else []
        return [*self.words, *values, *words_of("--logs", self.logs)]


@dataclass(frozen=True, slots=True)
class PipelineSteps:
    name: str
    pipeline: PipelineSpec | LadderSpec
    given: Mapping[str, GivenStep]
    specs: Mapping[str, "Spec"]
    """The steps in their order."""
    shared: Mapping[str, Any]
    """Values of all pods."""
    namespace: str
    around: "Surroundings"

    def describe(self, verb: str) -> "Submission":
        from datascaler.cluster.kube.names import PIPELINE
        from datascaler.cluster.submit.request import Request, describe_request

        steps = [self.given["train"], self.given["sweep"]] if verb == "sweep" else [self.given[verb]]
        # A driver that is created suspended must not create its steps so too: nobody would start them.
        shared = {key: value for key, value in self.shared.items() if key != "suspend"}
        request = Request(
            verb="ladder" if isinstance(self.specs[verb], LadderGrid) else verb,
            spec=self.specs[verb],
            words=self._command(verb),
            name=f"{self.name}-{verb}",
            logs=next((step.logs for step in reversed(steps) if step.logs), self.pipeline.logs_dir),
            files=[shared, {"labels": {PIPELINE: self.name}}, *(step.values for step in steps)],
        )
        return describe_request(request, self.namespace, self.around)

    def outlook(self) -> Iterator[str]:
        """What each step will take; on the way all of them are described, so that what can't be is found now."""
        from datascaler.cluster.submit.estimate import outlook

        yield f"pipeline  {self.namespace}/{self.name}: {' -> '.join(self.specs)}"
        for verb, spec in self.specs.items():
            yield from outlook(self.describe(verb), spec)

    def rehearse(self, api: "Api") -> None:
        """Raises StepRefusedError where the server would refuse a step; nothing is created."""
        from datascaler.cluster.act.run_step import rehearse_step

        for verb in self.specs:
            rehearse_step(api, verb, self.describe(verb), may_differ=verb == "train" and "sweep" in self.specs)

    def with_best_point(self) -> "PipelineSteps":
        """The same, training at the best point of the sweep, which is complete."""
        from datascaler.data.runs.sweep_results import collect_sweep

        sweep, train = self.specs["sweep"], self.specs["train"]
        assert isinstance(sweep, SweepSpec)
        assert isinstance(train, TrainSpec)
        best = collect_sweep(sweep.points).best
        point = replace(train, **{name: getattr(best, name) for name in sweep.varied if name != "seed"})
        return replace(self, specs={**self.specs, "train": point})

    @property
    def outcome(self) -> str:
        """Where what it was for is found."""
        report = self.specs.get("report")
        if isinstance(report, ReportSpec):
            return f"the page is {report.output}"
        return f"results are below {self.pipeline.runs_dir}"

    @property
    def point_words(self) -> list[str]:
        """What `train` was given of a sweep's axes."""
        train = self.specs["train"]
        assert isinstance(train, TrainSpec)
        return point_arguments(train)

    def words(self) -> list[str]:
        """The steps' flags once more, as arguments of `submit pipeline`."""
        # An empty --sweep is a sweep too: of the default grid.
        texts = {verb: self.given[verb].all_words for verb in self.specs}
        return [
            word for verb, own in texts.items() if own or verb == "sweep" for word in (f"--{verb}", shlex.join(own))
        ]

    def _command(self, verb: str) -> list[str]:
        """The pods' command: the spec, and those flags of the verb that say how a pod goes about its work."""
        spec, own = self.specs[verb], dict(self.given[verb].own)
        if isinstance(spec, SweepSpec):
            arguments, own = spec.base.arguments(leave_out=AXES), {**self.given["train"].own, **own}
        elif isinstance(spec, LadderGrid):
            arguments, spec = spec.base.arguments(leave_out=NOT_SHARED), spec.base
        else:
            arguments = spec.arguments()
        in_spec = {each.name for each in flat_fields(spec)}
        rest = {name: value for name, value in own.items() if name not in in_spec}
        return [*arguments, *_words("train" if verb == "sweep" else verb, rest)]


def given_steps(given: Mapping[str, Any], verbs: Iterable[str] = STEPS) -> dict[str, GivenStep]:
    if given["eval"] and not given["eval_data_dir"]:
        raise click.UsageError("--eval needs --eval-data-dir, without which nothing is evaluated")
    return {verb: _parsed(verb, given[verb] or "") for verb in verbs}


def step_specs(pipeline: PipelineSpec, steps: Mapping[str, GivenStep], *, has_sweep: bool) -> dict[str, "Spec"]:
    """What each step does; what the user gave it goes before what the pipeline gives it."""
    own = {verb: dict(step.own) for verb, step in steps.items()}
    # A sweep starts from the training run; one value of an axis is a grid of one.
    grid = {AXES.get(name, name): (value,) if name in AXES else value for name, value in own["train"].items()}
    own["sweep"] = {**grid, **own["sweep"]}
    left_out = {name for name, there in (("sweep", has_sweep), ("eval", pipeline.eval_data_dir)) if not there}
    verbs = [verb for verb in STEPS if verb not in left_out]
    return {verb: verb_spec(verb, {**pipeline.given_to(verb), **own[verb]}, offline=True) for verb in verbs}


def ladder_specs(ladder: LadderSpec, steps: Mapping[str, GivenStep], *, offline: bool) -> dict[str, "Spec"]:
    """The same of a ladder. offline: what filters are called is not read, and their files' names stand in for it."""
    own = steps["train"].own
    for name in own.keys() & {*NOT_SHARED, "branch_at"}:
        flag = flag_of(field_named(TrainSpec, name))
        raise click.UsageError(
            f"--train {flag}: it is for --subset-files, --width-mults, --seeds and --branch-at to say"
        )
    shared = {**ladder.given_to("train"), "width_mult": ladder.width_mults[0], **own}
    options = [{**shared, **_filter(file, offline=offline)} for file in ladder.subset_files]
    filters = [train_spec(each, offline=offline) for each in options]
    specs: dict[str, Spec] = {"train": ladder.grid(filters)}
    for verb in LADDER_STEPS[1:]:
        specs[verb] = verb_spec(verb, {**ladder.given_to(verb), **steps[verb].own}, offline=True)
    return specs


def _filter(file: str, *, offline: bool) -> dict[str, Any]:
    if file == WHOLE_POOL:
        return {}
    stand_in = {"method": file.rpartition("/")[2].rpartition(".")[0] or file, "fraction": 1} if offline else {}
    return {"subset_file": file, **stand_in}


def _parsed(verb: str, text: str) -> GivenStep:
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise click.UsageError(f"--{verb} {text}: {error}") from None
    submit = SubmitCommand(verb).params
    flags = {str(param.name): copy(param) for param in VERBS[verb].params if isinstance(param, click.Option)}
    for param in submit:
        flags.pop(str(param.name), None)
    for param in flags.values():
        param.required = False  # the pipeline gives it
    ctx = click.Command(verb, params=[*submit, *flags.values()]).make_context(
        verb, words, parent=click.get_current_context()
    )
    own = {
        name: value
        for name, value in ctx.params.items()
        if name in flags and ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE
    }
    refuse_what_is_not_for_pods(flags[name].opts[0] for name in own)
    return GivenStep(verb, own, all_values(ctx.params), ctx.params["logs"])


def _words(verb: str, values: Mapping[str, Any]) -> list[str]:
    """Flags of a verb by their names -> words."""
    flags = {param.name: param for param in VERBS[verb].params}
    pairs = ((flags[name], value) for name, value in values.items())
    return [word for flag, value in pairs for word in words_of(flag.opts[0], value, repeated=flag.multiple)]
