"""A submit as the user asked for it, and what becomes of it: layers of values, and then manifests."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from datascaler.cluster.kube.chart_values import Values, merged_values
from datascaler.cluster.kube.names import check_name, check_namespace, default_name
from datascaler.cluster.kube.surroundings import Surroundings
from datascaler.cluster.submit.submission import Submission, render_submission
from datascaler.cluster.submit.values import (
    eval_values,
    ladder_values,
    pipeline_values,
    refuse_secrets,
    report_values,
    require_url,
    require_urls,
    score_values,
    subset_values,
    sweep_values,
    train_values,
)
from datascaler.errors import ConfigError
from datascaler.spec.evaluate import EvalSpec
from datascaler.spec.ladder import LadderGrid, LadderSpec
from datascaler.spec.pipeline import PipelineSpec
from datascaler.spec.report import ReportSpec
from datascaler.spec.score import ScorePart
from datascaler.spec.subset import SubsetSpec
from datascaler.spec.sweep import SweepSpec
from datascaler.spec.train import TrainSpec

Spec = ScorePart | SubsetSpec | TrainSpec | SweepSpec | LadderGrid | EvalSpec | ReportSpec | PipelineSpec | LadderSpec

_VALUES: dict[str, Callable[..., Values]] = {
    "score": score_values,
    "subset": subset_values,
    "train": train_values,
    "sweep": sweep_values,
    "ladder": ladder_values,
    "eval": eval_values,
    "report": report_values,
    "pipeline": pipeline_values,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    verb: str
    spec: Spec
    """What is to be done."""
    words: Sequence[str]
    """The same as the pods' command says it; of a sweep or a ladder, what its points share."""
    name: str
    logs: str | None = None
    """The folder in which the run's log folder will be."""
    flags: Values = field(default_factory=dict)
    """The values that the cluster flags stand for."""
    files: Sequence[Mapping[str, Any]] = ()
    """The values of each --values."""

    def __post_init__(self) -> None:
        check_name(self.name)
        refuse_secrets([*self.words, self.logs or ""])


def name_of(verb: str, spec: Spec, words: Sequence[str]) -> str:
    """What a run is called if nobody says. words: of the verb, as they were typed."""
    if isinstance(spec, ScorePart | SubsetSpec):
        return default_name(verb, spec.method, words)
    if isinstance(spec, ReportSpec):
        return default_name(verb, spec.target, words)
    return default_name(verb, spec.base.scale if isinstance(spec, SweepSpec | LadderGrid) else spec.scale, words)


def describe_request(request: Request, namespace: str, around: Surroundings) -> Submission:
    """Raises ConfigError for local paths, and for what the chart refuses."""
    check_namespace(namespace)
    own = _VALUES[request.verb](request.name, request.words, request.spec, request.logs)
    for given in request.files:
        _require_unsaid(given, own)
    values = merged_values(around.defaults, *request.files, own, request.flags)
    if not around.has_operator and own["kind"] == "train" and not values.get("train", {}).get("backend"):
        values["train"] = {**values.get("train", {}), "backend": "job"}
    refuse_secrets(values.get("command") or (), values.get("env") or {})
    mounts = [mount["mountPath"] for mount in values.get("volumeMounts") or ()]
    for each in request.spec.points if isinstance(request.spec, LadderGrid) else (request.spec,):
        require_urls(each, mounts)
    if request.logs:
        require_url("--logs", request.logs, mounted=mounts)
    return render_submission(request.name, namespace, values, around.kubernetes)


_SAID_BY = {
    "completions": "--count",
    "logs": "--logs",
    "name": "--name",
    "kind": "the verb",
    "runs": "the verb's flags",
}


def _require_unsaid(given: Mapping[str, Any], own: Values) -> None:
    """What the command line decides is not to be said otherwise in a file, where nobody would heed it."""
    for key in given.keys() & own.keys():
        if given[key] != own[key]:
            flags = _SAID_BY.get(key, "the verb's flags")
            raise ConfigError(f"--values says {key}: {given[key]}, which is for {flags} to say; leave it out there")
