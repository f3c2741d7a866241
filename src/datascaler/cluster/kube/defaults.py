"""What the namespace's owners set for every run, and what the cluster can do."""

from typing import Any

from datascaler.cluster.kube.api import Api
from datascaler.cluster.kube.api_paths import OPERATOR, path_of
from datascaler.cluster.kube.chart_values import Values, as_json_has_them
from datascaler.cluster.kube.surroundings import Surroundings
from datascaler.errors import ClusterError, ConfigError, RefusedError
from datascaler.tools.plain_yaml import load_yaml

CONFIG_MAP, KEY = "datascaler-defaults", "values.yaml"


def look_around(api: Api, namespace: str) -> Surroundings:
    defaults = read_defaults(api, namespace)
    return Surroundings(
        defaults=defaults or {},
        has_defaults=defaults is not None,
        kubernetes=str(api.get("/version")["gitVersion"]).lstrip("v"),
        has_operator=has_operator(api),
    )


def has_operator(api: Api) -> bool:
    """Whether PyTorchJobs can be made: other operators have kinds in the same group."""
    kinds = (api.get_or_none(OPERATOR) or {}).get("resources") or ()
    return any(kind["name"] == "pytorchjobs" for kind in kinds)


def read_defaults(api: Api, namespace: str) -> Values | None:
    """The values of the ConfigMap that the chart `datascaler` installs; None where there is none that we may read."""
    try:
        found = api.get_or_none(path_of("ConfigMap", namespace, CONFIG_MAP))
    except RefusedError as error:
        if error.status != 403:
            raise
        found = None
    if found is None:
        return None
    try:
        values: Any = as_json_has_them(load_yaml((found.get("data") or {}).get(KEY) or "{}"))
    except ConfigError as error:
        raise ClusterError(f"ConfigMap {namespace}/{CONFIG_MAP}: key {KEY} is not YAML: {error}") from error
    if not isinstance(values, dict):
        raise ClusterError(f"ConfigMap {namespace}/{CONFIG_MAP}: key {KEY} is not a map of values")
    return values
