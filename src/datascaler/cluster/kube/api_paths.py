"""URL paths of the API, and the kinds of objects that runs are made of."""

from typing import Any
from urllib.parse import quote

Json = dict[str, Any]
"""An object, as the API gives and takes it."""

JOB, PYTORCHJOB, SERVICE = "Job", "PyTorchJob", "Service"

_FOLDERS = {
    JOB: ("apis/batch/v1", "jobs"),
    PYTORCHJOB: ("apis/kubeflow.org/v1", "pytorchjobs"),
    SERVICE: ("api/v1", "services"),
    "Pod": ("api/v1", "pods"),
    "Event": ("api/v1", "events"),
    "ConfigMap": ("api/v1", "configmaps"),
    "ServiceAccount": ("api/v1", "serviceaccounts"),
    "Workload": ("apis/kueue.x-k8s.io/v1beta1", "workloads"),
}

RUN_KINDS = (JOB, PYTORCHJOB)
"""Whatever else a run has belongs to one of these. Trainer v2's TrainJob would be one more."""

OPERATOR = "/apis/kubeflow.org/v1"
"""Lists the kinds of the training operator that are installed."""


def path_of(kind: str, namespace: str, name: str = "") -> str:
    group, plural = _FOLDERS[kind]
    return f"{namespace_path(namespace, group)}/{plural}" + (f"/{_segment(name)}" if name else "")


def namespace_path(namespace: str, group: str = "api/v1") -> str:
    return f"/{group}/namespaces/{_segment(namespace)}"


def _segment(name: str) -> str:
    """A name as one part of a path, whatever it is."""
    return quote(name, safe="").replace(".", "%2E") if name in (".", "..") else quote(name, safe="")


def path_of_object(found: Json) -> str:
    return path_of(found["kind"], found["metadata"]["namespace"], found["metadata"]["name"])
