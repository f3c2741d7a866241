"""The record on a run's objects of the chart values that it was made from."""

import json
from typing import Any

from datascaler.cluster.kube.chart_values import Values
from datascaler.cluster.kube.names import VALUES
from datascaler.errors import ClusterError


def record_of(run: dict[str, Any]) -> Values:
    """Raises ClusterError for a run that the launcher did not make."""
    text = run["metadata"].get("annotations", {}).get(VALUES)
    if text is None:
        name = run["metadata"]["name"]
        raise ClusterError(f"{name} was not made by `datascaler submit`, so its values are not known")
    values: Values = json.loads(text)
    return values
