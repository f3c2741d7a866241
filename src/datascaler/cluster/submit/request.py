"""A submit as the user asked for it, and what becomes of it: layers of values, and then manifests."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from datascaler.cluster.kube.chart_values import Values, merged
from datascaler.cluster.kube.defaults import Surroundings
from datascaler.cluster.kube.names import check_name, default_name
from datascaler.cluster.submit.submission import Submission, describe_submission
from datascaler.cluster.submit.values import (
    eval_values,
    pipeline_values,
    require_urls,
    score_values,
    subset_values,
    sweep_values,
    train_values,
)
from datascaler.spec.train import TrainSpec

_VALUES: dict[str, Callable[[str, Sequence[str], Mapping[str, Any]], Values]] = {
    "score": score_values,
    "eval": eval_values,
    "subset": subset_values,
    "train": train_values,
    "pipeline": pipeline_values,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    verb: str
    arguments: Sequence[str]
    """Of the verb, as they were typed."""
    params: Mapping[str, Any]
    """The same, parsed; `logs` is the folder in which the run's log folder will be."""
    name: str | None = None
    flags: Values = field(default_factory=dict)
    """The values that the cluster flags stand for."""
    files: Sequence[Values] = ()
    """The values of each --values."""
    base: TrainSpec | None = None
    """What a sweep varies."""

    @property
    def run_name(self) -> str:
        about = self.params.get("method") if self.verb in ("score", "subset") else self.params.get("scale")
        return check_name(self.name or default_name(self.verb, about, self.arguments))


def describe_request(request: Request, namespace: str, around: Surroundings) -> Submission:
    """Raises ConfigError for local paths, and for what the chart refuses."""
    name = request.run_name
    if request.verb == "sweep":
        assert request.base is not None
        own = sweep_values(name, request.arguments, request.params, request.base)
    else:
        own = _VALUES[request.verb](name, request.arguments, request.params)
    layers = [around.defaults, *request.files, own, request.flags]
    values = merged(*layers)
    if not around.has_operator and own["kind"] == "train" and not values.get("train", {}).get("backend"):
        layers.append({"train": {"backend": "job"}})
    mounts = [mount["mountPath"] for mount in values.get("volumeMounts") or ()]
    require_urls(request.params, mounts)
    return describe_submission(name, namespace, layers, around.kubernetes)
