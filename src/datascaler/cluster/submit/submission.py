"""What a submit is going to send: values, and the manifests that the chart makes of them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from datascaler.cluster.kube.chart_values import Values, merged_values
from datascaler.cluster.kube.helm import objects_of, render
from datascaler.cluster.kube.names import VALUES


@dataclass(frozen=True, kw_only=True, slots=True)
class Submission:
    name: str
    namespace: str
    values: Values
    """`helm install --values` on these makes the same objects, but for the annotation that holds them."""
    text: str
    """The manifests, with the chart's comments."""

    @property
    def objects(self) -> list[dict[str, Any]]:
        return objects_of(self.text)

    @property
    def run_names(self) -> list[str]:
        return list(run_values_of(self.values, self.name))


def describe_submission(
    name: str, namespace: str, layers: Sequence[Mapping[str, Any]], kubernetes: str | None = None
) -> Submission:
    """Lay the values over one another and render them."""
    return render_submission(name, namespace, merged_values(*layers), kubernetes)


def render_submission(name: str, namespace: str, values: Values, kubernetes: str | None = None) -> Submission:
    return Submission(
        name=name,
        namespace=namespace,
        values=values,
        text=render(name, namespace, _with_record(values, name), kubernetes),
    )


def run_values_of(values: Mapping[str, Any], name: str) -> dict[str, Values]:
    """Each run's own values, by its name: the shared ones with those of the list laid over them."""
    shared = {key: value for key, value in values.items() if key != "runs"}
    runs = [merged_values(shared, one) for one in values["runs"]] if values.get("runs") else [shared]
    return {run.get("name") or name: run for run in runs}


def _with_record(values: Values, name: str) -> Values:
    """Every run carries the values that it was made from: for a retry, and to compare with the next submit."""
    records = {
        run: {VALUES: json.dumps(own, sort_keys=True, separators=(",", ":"))}
        for run, own in run_values_of(values, name).items()
    }
    if not values.get("runs"):
        return _stamped(values, records[values.get("name") or name])
    return {**values, "runs": [_stamped(one, records[one["name"]]) for one in values["runs"]]}


def _stamped(values: Mapping[str, Any], record: Mapping[str, str]) -> Values:
    return {**values, "annotations": {**(values.get("annotations") or {}), **record}}
